/** Network adapters of a host: real veth pairs, in network namespaces that this test makes, moved into real containers. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import t, { type Test } from "tap";
import { detectCgroupLayout } from "../../src/linux/cgroups/layout.ts";
import { startAgent } from "../helpers/agent.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { RawHost } from "../helpers/raw-host.ts";

const machine = `lcow-m-${process.pid}`;
const outside = `lcow-o-${process.pid}`;
const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: "utf8" });
const ip = (namespace: string, ...args: string[]) => run("ip", "-n", namespace, ...args);

for (const namespace of [machine, outside]) {
  run("ip", "netns", "add", namespace);
  t.teardown(() => run("ip", "netns", "delete", namespace));
  ip(namespace, "link", "set", "lo", "up");
}

/** A sysfs that shows the namespace's interfaces, and the cgroups of the machine in it. */
const script =
  'mount --rbind /sys/fs/cgroup "$1" && mount -t sysfs sysfs /sys && mount --rbind "$1" /sys/fs/cgroup && shift && exec "$@"';
const agent = startAgent([], {}, [
  ...["nsenter", `--net=/run/netns/${machine}`, "unshare", "--mount", "sh", "-c", script, "sh"],
  t.testdir({}),
]);
const host = new RawHost(agent.prefix);
t.teardown(async () => {
  await host.close();
  await agent.stop();
});
await host.accept();
await host.negotiate();

const guid = (number: number) => `00000000-0000-4000-8000-00000000000${number}`;
const macOf = (number: number) => `02:00:00:00:00:0${number}`;

/** A cable into the machine, whose other end is outside. */
function plug(number: number, address: string): void {
  ip(
    machine,
    "link",
    "add",
    `v${number}`,
    "address",
    macOf(number),
    "type",
    "veth",
    "peer",
    "name",
    `o${number}`,
  );
  ip(machine, "link", "set", `o${number}`, "netns", outside);
  ip(outside, "link", "set", `o${number}`, "up");
  ip(outside, "address", "add", address, "dev", `o${number}`);
}

const modify = (RequestType: string, Settings: object, ResourceType = "Network") =>
  host.request("ModifySettings", { ContainerId: UVM, Request: { ResourceType, RequestType, Settings } });

async function add(t: Test, settings: object): Promise<void> {
  const reply = await modify("Add", settings);
  t.equal(reply.Result, 0, `${reply.ErrorMessage}`);
}

const adapter = (number: number, namespace: number, more: object = {}) => ({
  NamespaceID: guid(namespace),
  ID: guid(number).toUpperCase(),
  MacAddress: macOf(number).replaceAll(":", "-").toUpperCase(),
  IPConfigs: [{ IPAddress: `10.7.${number}.2`, PrefixLength: 24 }],
  Routes: [{ NextHop: `10.7.${number}.1`, DestinationPrefix: "0.0.0.0/0" }],
  ...more,
});

/** A container in no pod, on the adapters of a network namespace. */
async function container(t: Test, id: string, namespace: number, annotations: object = {}): Promise<number> {
  const created = await host.request(
    "Create",
    createBody(id, `${agent.directory}/c/${id}`, {
      args: ["/bin/sleep", "1000"],
      extra: { windows: { network: { networkNamespace: guid(namespace) } }, annotations },
    }),
  );
  t.equal(created.Result, 0, `${created.ErrorMessage}`);
  return Number((await host.request("ExecuteProcess", executeBody(id))).ProcessId);
}

async function shell(id: string, script: string): Promise<unknown> {
  const executed = await host.request(
    "ExecuteProcess",
    executeBody(id, execParameters(["/bin/sh", "-c", script])),
  );
  const body = { ContainerId: id, ProcessId: executed.ProcessId, TimeoutInMs: 0xffffffff };
  return (await host.request("WaitForProcess", body)).ExitCode;
}

/** From outside, there and back. */
const ping = (address: string) =>
  run("ip", "netns", "exec", outside, "busybox", "ping", "-c", "1", "-W", "5", address);

async function remove(t: Test, id: string, pid: number): Promise<void> {
  await host.request("ShutdownForced", { ContainerId: id });
  await host.request("WaitForProcess", { ContainerId: id, ProcessId: pid, TimeoutInMs: 0xffffffff });
  t.equal((await host.request("DeleteContainerState", { ContainerId: id })).Result, 0);
}

const inside = (pid: number, ...args: string[]) => run("nsenter", `-n/proc/${pid}/ns/net`, "ip", ...args);
const linksOf = (namespace: string) =>
  (JSON.parse(ip(namespace, "-json", "link")) as { ifname: string }[]).map(({ ifname }) => ifname);

await t.test(
  "an adapter that came before its container is in it from the start, with its name servers",
  async (t) => {
    plug(1, "10.7.1.1/24");
    await add(
      t,
      adapter(1, 9, { DNSServerList: "10.7.1.1,10.7.1.9", DNSSuffix: "A.example", EncapOverhead: 50 }),
    );
    t.ok(linksOf(machine).includes("v1"), "until then it is the machine's");
    const pid = await container(t, "c1", 9);
    t.match(inside(pid, "address", "show", "dev", "v1"), /mtu 1450[\s\S]*inet 10\.7\.1\.2\/24/);
    t.match(inside(pid, "route"), /^default via 10\.7\.1\.1 dev v1/m);
    ping("10.7.1.2");
    t.equal(await shell("c1", "grep -q 'search a.example' /etc/resolv.conf"), 0);
    t.match(
      readFileSync(`${agent.directory}/c/c1/resolv.conf`, "utf8"),
      "nameserver 10.7.1.1\nnameserver 10.7.1.9\n",
    );
    const twice = await modify("Add", adapter(1, 9));
    t.equal(Number(twice.Result) >>> 0, 0x80370105, "twice");
    await remove(t, "c1", pid);
    t.equal((await modify("Remove", adapter(1, 9))).Result, 0);
    t.equal((await modify("Remove", adapter(1, 9))).Result, 0, "removed twice");
    t.equal((await modify("Remove", adapter(1, 8))).Result, 0, "from a namespace that is not there");
  },
);

await t.test("one that comes later goes to where the others are", async (t) => {
  const pid = await container(t, "c2", 9);
  plug(2, "10.7.2.1/24");
  plug(3, "10.7.3.1/24");
  ip(outside, "address", "add", "169.254.9.9/32", "dev", "o3");
  ip(outside, "-6", "address", "add", "fd00:7::1/64", "dev", "o2", "nodad");
  const both = [
    { IPAddress: "10.7.2.2", PrefixLength: 24 },
    { IPAddress: "10.7.2.3", PrefixLength: 24 },
    { IPAddress: "fd00:7::2", PrefixLength: 64 },
  ];
  const routes = [
    { NextHop: "10.7.2.1", DestinationPrefix: "0.0.0.0/0", Metric: 5 },
    { NextHop: "fd00:7::1", DestinationPrefix: "::/0" },
    { NextHop: "10.7.2.1", DestinationPrefix: "10.99.0.0/16", Metric: 7 },
  ];
  await add(t, adapter(2, 9, { IPConfigs: both, Routes: routes, PolicyBasedRouting: true }));
  const outOfSubnet = { NextHop: "169.254.9.9", DestinationPrefix: "0.0.0.0/0" };
  await add(t, adapter(3, 9, { Routes: [outOfSubnet], PolicyBasedRouting: true }));
  t.match(
    inside(pid, "address", "show", "dev", "v2"),
    /10\.7\.2\.2\/24[\s\S]*10\.7\.2\.3\/24[\s\S]*fd00:7::2\/64/,
  );
  t.match(inside(pid, "route"), /10\.99\.0\.0\/16 via 10\.7\.2\.1 dev v2 metric 7/);
  t.match(inside(pid, "-6", "route"), /default via fd00:7::1 dev v2/);
  t.match(inside(pid, "rule"), /from 10\.7\.3\.2 lookup 101/);
  t.match(
    inside(pid, "route", "show", "table", "101"),
    /default via 169\.254\.9\.9 dev v3 metric 500 onlink/,
  );
  for (const address of ["10.7.2.2", "10.7.2.3", "10.7.3.2", "fd00:7::2"]) ping(address);
  await remove(t, "c2", pid);
});

await t.test("what the kernel or the host's own words refuse leaves the machine as it was", async (t) => {
  plug(4, "10.7.4.1/24");
  for (const [settings, words] of [
    [{ ID: "x" }, /no GUID/],
    [{ NamespaceID: "x" }, /no GUID/],
    [{ MacAddress: "x" }, /no MAC/],
    [{ IPConfigs: [{ IPAddress: "10.7.4.2", PrefixLength: 64 }] }, /0 to 32/],
    [{ Routes: [{ NextHop: "nowhere", DestinationPrefix: "0.0.0.0/0" }] }, /NextHop/],
    [{ DNSServerList: "dns" }, /DNSServerList/],
  ] as const) {
    const reply = await modify("Add", { ...adapter(4, 7), ...settings });
    t.equal(Number(reply.Result) >>> 0, 0x80070057, JSON.stringify(settings));
    t.match(reply.ErrorMessage, words);
  }
  const unknown = await modify("Add", { ...adapter(5, 7) });
  t.equal(Number(unknown.Result) >>> 0, 0x80004005);
  t.match(
    unknown.ErrorMessage,
    /00000000-0000-4000-8000-000000000005 or MAC address 02:00:00:00:00:05.*within 5 s/,
  );
  const twice = { NextHop: "10.7.4.1", DestinationPrefix: "0.0.0.0/0" };
  const bad = [twice, twice];
  await add(t, adapter(4, 7, { Routes: bad }));
  const created = await host.request(
    "Create",
    createBody("c4", `${agent.directory}/c/c4`, {
      extra: { windows: { network: { networkNamespace: guid(7) } } },
    }),
  );
  t.not(created.Result, 0);
  t.match(created.ErrorMessage, /adapter 00000000-0000-4000-8000-000000000004 \(v4\) could not be set up/);
  t.ok(linksOf(machine).includes("v4"), "the adapter is back");
  t.notOk(existsSync(`${agent.directory}/c/c4`), "and the container gone");
  t.equal((await modify("Remove", adapter(4, 7))).Result, 0);
  await add(t, adapter(4, 7));
  const pid = await container(t, "c4", 7);
  ping("10.7.4.2");
  await remove(t, "c4", pid);
});

await t.test("an adapter that is plugged in while it is waited for", async (t) => {
  const adding = modify("Add", adapter(6, 6));
  plug(6, "10.7.6.1/24");
  const reply = await adding;
  t.equal(reply.Result, 0, `${reply.ErrorMessage}`);
});

await t.test("on the host's network the adapter stays with the machine, and is set up there", async (t) => {
  const pid = await container(t, "c6", 6, { "io.microsoft.virtualmachine.lcow.hostnetwork": "true" });
  t.match(ip(machine, "address", "show", "dev", "v6"), /inet 10\.7\.6\.2\/24/);
  ping("10.7.6.2");
  await remove(t, "c6", pid);
});

await t.test("without an address a DHCP server is asked", async (t) => {
  plug(8, "10.7.8.1/24");
  const server = startDhcpServer(t);
  await server;
  await add(t, { NamespaceID: guid(5), ID: guid(8), MacAddress: macOf(8) });
  const pid = await container(t, "c8", 5);
  t.match(inside(pid, "address", "show", "dev", "v8"), /inet 10\.7\.8\.77\/24/);
  t.match(inside(pid, "route"), /default via 10\.7\.8\.1 dev v8/);
  await remove(t, "c8", pid);
});

/** busybox's, on the outer end of the eighth cable. */
async function startDhcpServer(t: Test): Promise<void> {
  const { spawn } = await import("node:child_process");
  const { writeFileSync } = await import("node:fs");
  const directory = t.testdir({});
  const config = `${directory}/udhcpd.conf`;
  writeFileSync(
    config,
    `start 10.7.8.77\nend 10.7.8.77\ninterface o8\nlease_file ${directory}/leases\npidfile ${directory}/pid\nopt subnet 255.255.255.0\nopt router 10.7.8.1\nopt dns 10.7.8.1\n`,
  );
  writeFileSync(`${directory}/leases`, "");
  const child = spawn("ip", ["netns", "exec", outside, "busybox", "udhcpd", "-f", config], {
    stdio: "ignore",
  });
  t.teardown(() => child.kill("SIGKILL"));
}

await t.test("the limit of all containers together follows the machine's memory", async (t) => {
  const layout = detectCgroupLayout();
  const memory = layout.mounts.find(({ controllers, unified }) => controllers.includes("memory") || unified);
  await runSleeper(host, "m", `${agent.directory}/c/m`);
  const reply = await modify("Update", {}, "PodCgroupMemoryLimit");
  t.equal(reply.Result, 0, `${reply.ErrorMessage}`);
  const file = layout.version === 2 ? "memory.max" : "memory.limit_in_bytes";
  const limit = Number(readFileSync(`${memory?.mountPoint}${agent.cgroupParent}/${file}`, "utf8"));
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
  t.equal(limit, Math.trunc((total - 75 * 1024 * 1024) / 4096) * 4096);
  const pid = Number(run("pgrep", "-P", String(agent.pid), "-x", "sleep").split("\n")[0]);
  await remove(t, "m", pid);
});
