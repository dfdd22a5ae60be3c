import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { detectCgroupLayout } from "../../../src/linux/cgroups/layout.ts";
import { compileProgram } from "../../helpers/c-program.ts";
import { type Member, shell } from "./context.ts";

/** A program, bound to where every container can make a mount point. */
const mounts = (program: string) => [
  { destination: "/proc", type: "proc", source: "proc" },
  // runc since 1.3.6 makes no links in a /dev of the root that has them already.
  { destination: "/dev", type: "tmpfs", source: "tmpfs" },
  { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
  { destination: "/tmp/program", type: "bind", source: compileProgram(program), options: ["bind", "ro"] },
];

const answers = (text: string) =>
  Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" ")),
  );

/** Not every kernel, nor every machine that is itself emulated, opens the door of the processor's 32-bit ABI. */
const hasCompatAbi =
  answers(execFileSync(compileProgram("socket-probe"), { encoding: "utf8" }))["unix-i386"] === "works";
const i386 = (outcome: string) => (hasCompatAbi ? outcome : "absent");

/** What socket-probe.c prints where AF_VSOCK and io_uring are out of reach. */
const refused = {
  ...{ unix: "works", inet: "works", end: "." },
  ...{
    vsock: "EAFNOSUPPORT",
    "vsock-wide": "EAFNOSUPPORT",
    "vsock-pair": "EAFNOSUPPORT",
    "io-uring": "ENOSYS",
  },
  ...(process.arch === "x64" && {
    "vsock-x32": "EAFNOSUPPORT",
    ...{ "vsock-i386": i386("EAFNOSUPPORT"), "vsock-socketcall": i386("EAFNOSUPPORT") },
    ...{ "vsock-socketcall-pair": i386("EAFNOSUPPORT"), "io-uring-i386": i386("ENOSYS") },
    "unix-i386": i386("works"),
  }),
};

export const wall: Record<string, Member> = {
  async "no process gets a socket that reaches the host, by whatever ABI"(t, context) {
    const script = "/tmp/program; exec sleep 1000";
    const { host, container } = await context.run("wall", {
      args: ["/bin/sh", "-c", script],
      extra: { mounts: mounts("socket-probe") },
    });
    await host.stdout.until("end .\n");
    t.same(answers(host.stdout.text), refused, "init");
    const other = context.host();
    const process = await container.execProcess(shell("/tmp/program"), other.set);
    t.equal(await process.wait(), 0);
    t.same(answers(await other.stdout.all()), refused, "what is brought in");
    await process.delete();
  },

  async "the profile that the host sends holds beside that"(t, context) {
    const seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures:
        process.arch === "x64"
          ? ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
          : ["SCMP_ARCH_AARCH64"],
      syscalls: [{ names: ["io_uring_setup", "socketpair"], action: "SCMP_ACT_ERRNO", errnoRet: 5 }],
    };
    const bundle = context.bundle({ args: ["/tmp/program"], extra: { mounts: mounts("socket-probe") } });
    const path = `${bundle}/config.json`;
    const spec = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...spec, linux: { ...spec.linux, seccomp } }));
    const container = await context.runtime.createContainer("profile", bundle);
    const host = context.host();
    await container.start(host.set);
    await container.getInitProcess().wait();
    const got = answers(await host.stdout.all());
    t.match(got, { vsock: "EAFNOSUPPORT", "vsock-pair": "EIO", "io-uring": "EIO", inet: "works" });
    await container.delete();
  },

  async "a container whose host wants it so has all sockets"(t, context) {
    const bundle = context.bundle({ args: ["/tmp/program"], extra: { mounts: mounts("socket-probe") } });
    const container = await context.runtime.createContainer("open", bundle, { hostSockets: true });
    const host = context.host();
    await container.start(host.set);
    await container.getInitProcess().wait();
    t.match(answers(await host.stdout.all()), { vsock: "works", "io-uring": "works" });
    await container.delete();
  },

  async "a command line of gigabytes is not read whole"(t, context) {
    const { host, container } = await context.run("huge", {
      args: ["/tmp/program", "2"],
      extra: { mounts: mounts("huge-command-line") },
    });
    await host.stdout.until("ready\n");
    t.same(await container.getProcessIds(), [container.pid]);
    const [process] = await container.getAllProcesses();
    t.same(process, {
      pid: container.pid,
      command: ["a".repeat(4096)],
      createdByRuntime: true,
      isZombie: false,
    });
  },

  async "a container that made a thousand cgroups is listed without holding up others"(t, context) {
    const { container } = await context.run("nested", { args: ["/bin/sleep", "1000"] });
    const [directory = ""] = detectCgroupLayout()
      .mounts.filter(({ unified, controllers }) => unified || controllers.includes("devices"))
      .map(({ mountPoint }) => `${mountPoint}${context.cgroupParent}`)
      .flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`));
    for (let index = 0; index < 1000; index++) mkdirSync(`${directory}/c${index}`);
    let turns = 0;
    const clock = setInterval(() => turns++, 1);
    t.same(await container.getProcessIds(), [container.pid]);
    clearInterval(clock);
    t.ok(turns > 0, "others had their turn");
  },
};
