// A container of runc from a program of its own, without a virtual machine. As root, with a static busybox:
// bin/node-pinned examples/runtime.ts
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { OciRuntime, Supervisor, standardStreams } from "lcow-gcs/runtime";

const directory = mkdtempSync("/tmp/example-");
for (const name of ["bin", "proc", "dev"]) mkdirSync(`${directory}/rootfs/${name}`, { recursive: true });
cpSync("/bin/busybox", `${directory}/rootfs/bin/busybox`);
const namespaces = ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type }));
const spec = {
  ociVersion: "1.0.2",
  process: { cwd: "/", args: ["/bin/busybox", "cat"], env: [], user: { uid: 0, gid: 0 } },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
  linux: { namespaces, cgroupsPath: `/example-${process.pid}` },
};
writeFileSync(`${directory}/config.json`, JSON.stringify(spec));

const supervisor = new Supervisor();
const runtime = new OciRuntime({
  command: "runc",
  stateRoot: `${directory}/state`,
  filesDirectory: `${directory}/files`,
  supervisor,
});
const container = await runtime.createContainer("example", directory, { spec });
try {
  const streams = standardStreams();
  await container.start(streams.stdio);
  const uname = standardStreams();
  const exec = await container.execProcess({ cwd: "/", args: ["/bin/busybox", "uname"] }, uname.stdio);
  console.log("exec:", (await text(uname.stdout)).trim(), await exec.wait());
  await exec.delete();
  for (const { pid, command } of await container.getRunningProcesses()) console.log(pid, ...command);
  console.log("memory:", Number(container.getStatistics().memory?.usage?.usage) > 0 ? "used" : "unknown");
  await container.pause();
  streams.stdin.end("typed while it was paused");
  await container.resume();
  console.log(await text(streams.stdout), await container.getInitProcess().wait());
} finally {
  await container.delete({ force: true });
  console.log("exists:", await container.exists(), (await runtime.listContainerStates()).length);
  supervisor.close();
  rmSync(directory, { recursive: true });
}
