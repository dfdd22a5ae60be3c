/** A pod in a machine: one network, one localhost, shared directories and limits, on cgroup v2 and with the image's runtime. */
import type { Test } from "tap";
import { createBody, execParameters, executeBody, UVM } from "../helpers/gcs-requests.ts";
import type { RawHost } from "../helpers/raw-host.ts";
import type { VmGuest } from "../helpers/vm.ts";

const NAMESPACE = "00000000-0000-4000-8000-000000000099";
const MAC = "02:00:00:00:00:07";
const TYPE = "io.kubernetes.cri.container-type";
const POD = "io.kubernetes.cri.sandbox-id";

export async function podInVm(t: Test, guest: VmGuest, host: RawHost): Promise<void> {
  const { rootfs } = guest;
  const create = (id: string, extra: object) =>
    host.request(
      "Create",
      createBody(id, `/run/gcs/c/${id}`, {
        rootfs,
        args: ["/bin/sleep", "1000"],
        extra: { hostname: "", ...extra },
      }),
    );
  const start = async (id: string): Promise<number> =>
    Number((await host.request("ExecuteProcess", executeBody(id))).ProcessId);
  const shell = async (id: string, script: string) => {
    const parameters = execParameters(["/bin/sh", "-c", script]);
    const { ProcessId } = await host.request("ExecuteProcess", executeBody(id, parameters));
    const wait = { ContainerId: id, ProcessId, TimeoutInMs: 20_000 };
    return (await host.request("WaitForProcess", wait)).ExitCode;
  };
  const network = (RequestType: string, Settings: object) =>
    host.request("ModifySettings", {
      ContainerId: UVM,
      Request: { ResourceType: "Network", RequestType, Settings },
    });

  // A cable whose other end stays with the machine. By its path: the shell, busybox, has another ip in itself.
  await guest.output(
    host,
    `/bin/ip link add v0 address ${MAC} type veth peer name o0 && /bin/ip address add 10.7.0.1/24 dev o0 && /bin/ip link set o0 up`,
  );
  const adapter = {
    NamespaceID: NAMESPACE,
    ID: "00000000-0000-4000-8000-000000000001",
    MacAddress: MAC,
    IPConfigs: [{ IPAddress: "10.7.0.2", PrefixLength: 24 }],
    Routes: [{ NextHop: "10.7.0.1", DestinationPrefix: "0.0.0.0/0" }],
    DNSServerList: "10.7.0.1",
  };
  const added = await network("Add", adapter);
  t.equal(added.Result, 0, `${added.ErrorMessage}`);
  const sandbox = await create("pod", {
    annotations: { [TYPE]: "sandbox", [POD]: "pod" },
    windows: { network: { networkNamespace: NAMESPACE } },
    linux: {
      namespaces: ["network", "ipc", "uts", "mount", "pid"].map((type) => ({ type })),
      resources: { memory: { limit: 67_108_864 } },
    },
  });
  t.equal(sandbox.Result, 0, `${sandbox.ErrorMessage}`);
  const pids = new Map([["pod", await start("pod")]]);
  for (const id of ["one", "two"]) {
    const created = await create(id, {
      annotations: { [TYPE]: "container", [POD]: "pod" },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        { destination: "/shared", type: "bind", source: "sandbox://shared", options: ["rbind", "rw"] },
      ],
      linux: {
        namespaces: [
          { type: "network", path: `/proc/${pids.get("pod")}/ns/net` },
          ...["ipc", "uts", "mount", "pid"].map((type) => ({ type })),
        ],
      },
    });
    t.equal(created.Result, 0, `${created.ErrorMessage}`);
    pids.set(id, await start(id));
  }
  t.equal(
    await shell("one", "echo shared > /shared/a; echo talk | nc -l -p 7777 -w 10 > /tmp/heard & sleep 1"),
    0,
  );
  t.equal(
    await shell("two", 'test "$(nc -w 10 127.0.0.1 7777 < /dev/null)" = talk'),
    0,
    "they share localhost",
  );
  t.equal(await shell("two", "grep shared /shared/a && grep 'nameserver 10.7.0.1' /etc/resolv.conf"), 0);
  t.match(await guest.output(host, "ping -c 1 -W 5 10.7.0.2"), "1 packets received");
  t.match(
    await guest.output(host, "cat /sys/fs/cgroup/pods/pod/memory.max; ls /sys/fs/cgroup/pods/pod"),
    /^67108864\n(.*\n)*two\n/,
  );
  for (const [id, ProcessId] of [...pids].toReversed()) {
    await host.request("ShutdownForced", { ContainerId: id });
    await host.request("WaitForProcess", { ContainerId: id, ProcessId, TimeoutInMs: 20_000 });
    const deleted = await host.request("DeleteContainerState", { ContainerId: id });
    t.equal(deleted.Result, 0, `${id}: ${deleted.ErrorMessage}`);
  }
  t.equal((await network("Remove", adapter)).Result, 0);
  const left = "ls -d /run/gcs/c/pod /sys/fs/cgroup/pods/pod; grep /run/gcs/c/pod /proc/mounts; true";
  t.equal(await guest.output(host, `{ ${left}; } 2>/dev/null`), "", "nothing of it is left");
}
