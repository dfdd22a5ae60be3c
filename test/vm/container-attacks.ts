/** What a container's root tries against its VM, with a specification that leaves it everything but capabilities. */
import type { Test } from "tap";
import { createBody, executeBody, UVM } from "../helpers/gcs-requests.ts";
import type { RawHost } from "../helpers/raw-host.ts";
import type { VmGuest } from "../helpers/vm.ts";

const answers = (text: string) =>
  Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" ")),
  );

export async function attackFromContainer(t: Test, guest: VmGuest, host: RawHost): Promise<void> {
  let count = 0;

  /** Starts a container. @returns its id and init's pid */
  async function start(script: string, memoryLimit?: number, extra = {}) {
    const id = `attack-${++count}`;
    const args = ["/bin/sh", "-c", script];
    const options = { rootfs: guest.rootfs, args, extra, ...(memoryLimit !== undefined && { memoryLimit }) };
    const created = await host.request("Create", createBody(id, `/run/gcs/c/${id}`, options));
    if (created.Result !== 0) throw new Error(JSON.stringify(created));
    const { ProcessId } = await host.request("ExecuteProcess", executeBody(id));
    return { id, ProcessId };
  }

  /** What a script writes to standard output, which here is a file of the container's root. */
  async function outputOf(script: string, memoryLimit?: number): Promise<string> {
    const { id, ProcessId } = await start(`{ ${script}; } > /root/said 2>&1`, memoryLimit);
    await host.request("WaitForProcess", { ContainerId: id, ProcessId, TimeoutInMs: 60_000 });
    await host.request("DeleteContainerState", { ContainerId: id });
    // Nothing of it is left for said() to take for the next container's.
    return await guest.output(host, `cat ${guest.rootfs}/root/said; rm ${guest.rootfs}/root/said`);
  }

  /** Waits until a container that start() made has written to its /root/said. @returns what */
  async function said(): Promise<string> {
    const file = `${guest.rootfs}/root/said`;
    const wait = `i=0; until [ -s ${file} ] || [ $i -gt 200 ]; do i=$((i+1)); sleep 0.1; done`;
    return await guest.output(host, `${wait}; cat ${file}; rm ${file}`);
  }

  async function end({ id, ProcessId }: { id: string; ProcessId: unknown }): Promise<void> {
    await host.request("ShutdownForced", { ContainerId: id });
    await host.request("WaitForProcess", { ContainerId: id, ProcessId, TimeoutInMs: 60_000 });
    const { Result } = await host.request("DeleteContainerState", { ContainerId: id });
    if (Result !== 0) throw new Error(`container ${id} was not deleted`);
  }

  await t.test("no socket reaches the host, nor another container's stream", async (t) => {
    t.match(answers(await outputOf("/bin/socket-probe")), {
      ...{ unix: "works", inet: "works", end: "." },
      ...{ vsock: "EAFNOSUPPORT", "vsock-wide": "EAFNOSUPPORT", "io-uring": "ENOSYS" },
      ...(process.arch === "x64" && {
        ...{ "vsock-i386": "EAFNOSUPPORT", "vsock-socketcall": "EAFNOSUPPORT" },
        ...{ "io-uring-i386": "ENOSYS", "unix-i386": "works" },
      }),
    });
  });

  await t.test("its own limits stay, whatever it mounts", async (t) => {
    // A cgroup2 mount of one container must not loosen those of the others.
    for (const namespaces of [
      ["pid", "mount", "uts"],
      ["pid", "mount", "uts", "cgroup"],
    ]) {
      const mounts = [
        { destination: "/proc", type: "proc", source: "proc" },
        // runc since 1.3.6 makes no links in a /dev of the root that has them already.
        { destination: "/dev", type: "tmpfs", source: "tmpfs" },
        { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "ro"] },
      ];
      const linux = { namespaces: namespaces.map((type) => ({ type })) };
      const { id, ProcessId } = await start("true", undefined, { mounts, linux });
      await host.request("WaitForProcess", { ContainerId: id, ProcessId, TimeoutInMs: 60_000 });
      await host.request("DeleteContainerState", { ContainerId: id });
    }
    const got = answers(await outputOf("/bin/lift-limit", 64 * 1024 * 1024));
    t.match(got, { unshare: "works", mount: "works", "memory.max": "EPERM", descendants: "EPERM" });
    t.match(got, { mkdir: "EAGAIN", made: "1024" }, "and cgroups come to an end");
  });

  await t.test("a root whose /dev is a link brings no devices into the VM's directories", async (t) => {
    const [root, target] = ["/run/linked-root", "/run/linked-target"];
    await guest.output(
      host,
      `mkdir -p ${root}/proc ${target}; cp -a ${guest.rootfs}/bin ${root}/bin; ln -s ${target} ${root}/dev`,
    );
    // Made or refused, as the runtime likes.
    await host.request(
      "Create",
      createBody("linked", "/run/gcs/c/linked", { rootfs: root, args: ["/bin/true"], extra: { mounts: [] } }),
    );
    t.equal(await guest.output(host, `ls -A ${target}; rm -r ${root} ${target}`), "");
    await host.request("DeleteContainerState", { ContainerId: "linked" });
  });

  await t.test("a command line of 60 GiB costs the agent nothing", async (t) => {
    const resident = async () =>
      Number(/VmRSS:\s+(\d+) kB/.exec(await guest.output(host, "cat /proc/$PPID/status"))?.[1]);
    const container = await start("exec /bin/huge-command-line 60 > /root/said");
    t.match(await said(), "ready");
    const before = await resident();
    const query = { ContainerId: container.id, Query: JSON.stringify({ PropertyTypes: ["ProcessList"] }) };
    for (let round = 0; round < 10; round++) {
      const { Properties } = await host.request("GetProperties", query);
      t.same(JSON.parse(String(Properties)).ProcessList, [{ ProcessId: container.ProcessId }]);
    }
    const after = await resident();
    t.ok(after < before + 8 * 1024, `from ${before} to ${after} KiB`);
    await end(container);
  });

  await t.test(
    "what the kernel counts for all is not taken from the agent, nor from other containers",
    async (t) => {
      const takers = [];
      for (const [name, count] of Object.entries({
        files: 60_000,
        "inotify-instances": 300,
        "inotify-watches": 9000,
      })) {
        takers.push(await start(`exec /bin/take-all ${name} ${count} > /root/said`));
        t.equal(await said(), `${name} all\n`);
      }
      t.equal(await outputOf("cat /etc/hostname"), "test\n", "another container opens files");
      const Request = {
        ResourceType: "MappedVirtualDisk",
        RequestType: "Add",
        Settings: { MountPath: "/run/mounts/scsi/absent", Controller: 0, Lun: 9 },
      };
      t.match(
        await host.request("ModifySettings", { ContainerId: UVM, Request }),
        { ErrorMessage: /no SCSI disk at 0:9 appeared/ },
        "the agent waits for a disk",
      );
      for (const taker of takers) await end(taker);

      const threads = await start("exec /bin/take-all threads 100000 > /root/said");
      t.equal(await said(), "threads EAGAIN\n");
      t.equal(await guest.output(host, "echo started"), "started\n", "the agent starts processes");
      await end(threads);
    },
  );
}
