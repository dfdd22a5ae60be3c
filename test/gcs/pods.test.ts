/**
 * Pods, as the reference agent makes them: test/data/pods.jsonl holds what it answered, wrote and left for each of these
 * specs, with real runc. Where ours differs on purpose a row of docs/pods.md says so.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import t, { type Test } from "tap";
import { detectCgroupLayout } from "../../src/linux/cgroups/layout.ts";
import { execParameters, executeBody } from "../helpers/gcs-requests.ts";
import { type Guest, startGuest } from "../helpers/guest.ts";
import { copyRootfs } from "../helpers/rootfs.ts";

type Json = Record<string, unknown>;
interface Created {
  id: string;
  result: string;
  message: string;
  spec: Json;
  config?: Json;
  start?: string;
  after: { files: Record<string, string>; mounts: string[]; cgroups: string[] };
}
interface Scenario {
  scenario: string;
  creates: Created[];
}

const scenarios = readFileSync(new URL("../data/pods.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Scenario);

/** Ours where the reference agent answers all with E_FAIL. */
const CODES: Readonly<Record<string, number>> = {
  "rlimit core bad": 0x80070057,
  "sandbox bad hostname": 0x80070057,
  "sandbox mount escape": 0x80070057,
  "unknown type": 0x80070057,
  "user unknown": 0x80070057,
  "workload with hostname": 0x80070057,
  "workload without sandbox": 0xc037010e,
  "workload without sandbox id": 0x80070057,
};

/** Not there yet at ours, and said so. */
const REFUSED: Readonly<Record<string, number>> = { "tee log: WORKLOAD1": 0x80004001 };

const guest = await startGuest(t);
await guest.host.negotiate();
/** In the place of /run/gcs/c. */
const base = `${guest.agent.directory}/c`;
const rootfs = copyRootfs(`${guest.agent.directory}/root`);
// Users other than root look into it.
for (const directory of [guest.agent.directory, rootfs]) chmodSync(directory, 0o755);

function here(value: unknown): Json {
  const text = JSON.stringify(value)
    .replaceAll("/run/gcs/c", base)
    .replaceAll("/ROOTFS", rootfs)
    .replaceAll("HOSTNAME", hostname());
  return JSON.parse(text) as Json;
}

/** The recording looked from another mount namespace, where this is the directory below the mount. */
const MEMORY = "/sandboxTmpfsMounts/";

/** Every file and directory below `base`, as the recording has them: modes of directories, content of files. */
function tree(directory: string, into: Record<string, string> = {}): Record<string, string> {
  if (!existsSync(directory)) return into;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (`${path}/`.endsWith(MEMORY)) into[`${path}/`] = "0o755";
    else if (entry.isDirectory()) {
      into[`${path}/`] = `0o${(statSync(path).mode & 0o7777).toString(8)}`;
      tree(path, into);
    } else if (entry.isSymbolicLink()) into[path] = `-> ${readlinkSync(path)}`;
    else if (entry.name !== "config.json") into[path] = readFileSync(path, "utf8");
  }
  return into;
}

function mounts(): string[] {
  return readFileSync(`/proc/${guest.agent.pid}/mountinfo`, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields[4]?.startsWith(base))
    .map((fields) => `${fields[4]}${fields.some((field) => field.startsWith("shared:")) ? " shared" : ""}`)
    .toSorted();
}

const layout = detectCgroupLayout();
const memory = layout.mounts.find(({ controllers, unified }) => controllers.includes("memory") || unified);

function cgroups(directory = "", into: string[] = []): string[] {
  const path = `${memory?.mountPoint}${guest.agent.cgroupParent}${directory}`;
  if (!existsSync(path)) return into;
  into.push(directory === "" ? "/" : directory);
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) cgroups(`${directory}/${entry.name}`, into);
  return into.toSorted();
}

/** What ours says and the reference agent's leaves to the default, or the other way round. */
function comparable(config: Json): Json {
  const { annotations, process, linux, ...rest } = config as {
    annotations?: Json;
    process: { terminal?: boolean; oomScoreAdj?: number; user: Json } & Json;
    linux: Json;
  };
  const { terminal, oomScoreAdj, user, ...ofProcess } = process;
  const { additionalGids: _, ...ids } = user;
  return {
    ...rest,
    ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations }),
    process: { ...ofProcess, user: ids, ...(terminal && { terminal }), ...(oomScoreAdj && { oomScoreAdj }) },
    linux: {
      ...linux,
      cgroupsPath: String(linux.cgroupsPath).replace(guest.agent.cgroupParent, "/pods"),
    },
  };
}

async function remove({ host }: Guest, ids: readonly string[]): Promise<void> {
  for (const id of ids.toReversed()) {
    await host.request("ShutdownForced", { ContainerId: id });
    await host.take(
      ({ type, body }) => type === 0x30100101 && body.ContainerId === id,
      `the exit notification of ${id}`,
    );
    const deleted = await host.request("DeleteContainerState", { ContainerId: id });
    t.equal(deleted.Result, 0, `${id} is deleted: ${deleted.ErrorMessage}`);
  }
}

const SANDBOX = "io.kubernetes.cri.container-type";
const POD = "io.kubernetes.cri.sandbox-id";
const SKIP = "io.microsoft.cri.skip-pod-networking";

interface PodContainer {
  annotations?: Json;
  mounts?: Json[];
  linux?: Json;
  args?: string[];
  bundle?: string;
}

/** The spec of the recording's workload, with changes. */
const recorded = scenarios.find(({ scenario }) => scenario === "workload")?.creates[1]?.spec as {
  mounts: Json[];
  process: Json;
  linux: Json;
  windows: Json;
};

async function create(id: string, { annotations, mounts: more, linux, args, bundle }: PodContainer) {
  const { windows: _, ...spec } = here(recorded) as typeof recorded;
  return await guest.host.request("Create", {
    ContainerId: id,
    ContainerConfig: JSON.stringify({
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: bundle ?? `${base}/${id}`,
      OciSpecification: {
        ...spec,
        annotations,
        mounts: [...spec.mounts, ...(more ?? [])],
        linux: { ...spec.linux, ...linux },
        process: { ...spec.process, ...(args && { args }) },
      },
    }),
  });
}

const sandbox = (id: string, more: PodContainer = {}) =>
  create(id, {
    ...more,
    annotations: { [SANDBOX]: "sandbox", [POD]: id, [SKIP]: "true", ...more.annotations },
  });
const workload = (id: string, pod: string, more: PodContainer = {}) =>
  create(id, { ...more, annotations: { [SANDBOX]: "container", [POD]: pod, ...more.annotations } });
const bind = (source: string, destination: string, options = ["rbind", "rw"]) => ({
  destination,
  source,
  options,
  type: "bind",
});

async function start(t: Test, id: string): Promise<number> {
  const started = await guest.host.request("ExecuteProcess", executeBody(id));
  t.equal(started.Result, 0, `${id} is started: ${started.ErrorMessage}`);
  return Number(started.ProcessId);
}

/** Runs a shell in a container. @returns its exit code */
async function shell(id: string, script: string): Promise<unknown> {
  const executed = await guest.host.request(
    "ExecuteProcess",
    executeBody(id, execParameters(["/bin/sh", "-c", script])),
  );
  const { ExitCode } = await guest.host.request("WaitForProcess", {
    ContainerId: id,
    ProcessId: executed.ProcessId,
    TimeoutInMs: 0xffffffff,
  });
  return ExitCode;
}

for (const { scenario, creates } of scenarios) {
  await t.test(scenario, async (t) => {
    mkdirSync(base, { recursive: true });
    chmodSync(base, 0o755);
    const made: string[] = [];
    for (const { id, spec, config, result, after } of creates) {
      const body = {
        ContainerId: id,
        ContainerConfig: JSON.stringify({
          SchemaVersion: { Major: 2, Minor: 1 },
          OciBundlePath: `${base}/${id}`,
          OciSpecification: here(spec),
        }),
      };
      const before = { files: tree(base), mounts: mounts(), cgroups: cgroups() };
      const expected =
        REFUSED[`${scenario}: ${id}`] ?? (result === "0x0" ? 0 : (CODES[scenario] ?? Number(result)));
      const created = await guest.host.request("Create", body);
      if (expected !== 0) {
        t.equal(Number(created.Result) >>> 0, expected, `${created.ErrorMessage}`);
        t.same({ files: tree(base), mounts: mounts(), cgroups: cgroups() }, before, "nothing is left of it");
        continue;
      }
      t.equal(created.Result, 0, `${id} is created: ${created.ErrorMessage}`);
      made.push(id);
      const started = await guest.host.request("ExecuteProcess", executeBody(id));
      t.equal(started.Result, 0, `${id} is started: ${started.ErrorMessage}`);
      const written = JSON.parse(readFileSync(`${base}/${id}/config.json`, "utf8")) as Json;
      t.same(comparable(written), here(config), `config.json of ${id}`);
      const files = Object.entries(here(after.files)).filter(([path]) => !path.endsWith("/runc.log"));
      const left = Object.fromEntries(files);
      // Ours keeps from others what the bundle of a container of its own holds.
      if (scenario === "standalone") left[`${base}/${id}/`] = "0o700";
      t.same(tree(base), left, `files after ${id}`);
      t.same(cgroups(), after.cgroups, `cgroups after ${id}`);
      // The recording's own list is late by one create.
      if (after.mounts.length > 0) {
        const recorded = after.mounts.map((line) => String(here([line])[0]).replace(/ (ext4|tmpfs)/, ""));
        t.same(mounts(), recorded.toSorted(), `mounts after ${id}`);
      }
    }
    await remove(guest, made);
    t.same(tree(base), {}, "no file is left");
    t.same(mounts(), [], "and no mount");
    t.same(cgroups(), made.length > 0 ? ["/"] : cgroups(), "and no cgroup but the parent");
  });
}

await t.test(
  "containers of a pod share directories, in memory and not, and one has what another wrote",
  async (t) => {
    t.equal((await sandbox("P1")).Result, 0);
    await start(t, "P1");
    const shared = [bind("sandbox://data", "/data"), bind("sandbox-tmp://fast", "/fast")];
    for (const id of ["W1", "W2"]) {
      const created = await workload(id, "P1", { mounts: shared });
      t.equal(created.Result, 0, `${id} is created: ${created.ErrorMessage}`);
      await start(t, id);
    }
    t.equal(await shell("W1", "echo here > /data/a && echo there > /fast/b"), 0);
    t.equal(
      await shell("W2", "grep here /data/a && grep there /fast/b && mount | grep -q '^tmpfs on /fast'"),
      0,
    );
    t.equal(await shell("W2", `test "$(cat /etc/hostname)" = "${hostname()}"`), 0);
    const refused = await guest.host.request("DeleteContainerState", { ContainerId: "P1" });
    t.equal(Number(refused.Result) >>> 0, 0x80370105, "a sandbox stays while its pod runs");
    t.match(refused.ErrorMessage, /W1, W2/);
    const twin = await sandbox("P1b", { bundle: `${base}/P1` });
    t.equal(Number(twin.Result) >>> 0, 0x80370105, "no second pod has its root");
    t.match(twin.ErrorMessage, /is that of pod P1/);
    t.equal(await shell("W2", "grep here /data/a"), 0, "what is in it stays");
    await remove(guest, ["P1", "W1", "W2"]);
    t.same(
      { files: tree(base), mounts: mounts(), cgroups: cgroups() },
      { files: {}, mounts: [], cgroups: ["/"] },
    );
  },
);

await t.test("a link in a shared directory leads no container out of it", async (t) => {
  t.equal((await sandbox("P2")).Result, 0);
  t.equal((await workload("W1", "P2", { mounts: [bind("sandbox://", "/all")] })).Result, 0);
  for (const id of ["P2", "W1"]) await start(t, id);
  t.equal(await shell("W1", "ln -s /etc /all/link && mkdir /all/deep && ln -s /etc /all/deep/link"), 0);
  const before = { files: tree(base), mounts: mounts(), cgroups: cgroups() };
  for (const source of [
    "sandbox://link",
    "sandbox://link/ssl",
    "sandbox://deep/link",
    "sandbox://deep/link/new",
  ]) {
    const created = await workload("W2", "P2", { mounts: [bind(source, "/out")] });
    t.equal(Number(created.Result) >>> 0, 0x80004005, source);
    t.match(created.ErrorMessage, /symbolic link/);
  }
  for (const source of [
    "sandbox://..",
    "sandbox://../sandboxMountsX",
    "sandbox-tmp://a/../../x",
    "hugepages://2M/../..",
  ]) {
    const created = await workload("W2", "P2", { mounts: [bind(source, "/out")] });
    t.equal(Number(created.Result) >>> 0, 0x80070057, source);
  }
  t.same({ files: tree(base), mounts: mounts(), cgroups: cgroups() }, before, "nothing is left of any");
  await remove(guest, ["P2", "W1"]);
  t.same(tree(base), {});
});

await t.test("a directory that becomes a link while the container is made gives nothing away", async (t) => {
  t.equal((await sandbox("P3")).Result, 0);
  t.equal((await workload("W1", "P3", { mounts: [bind("sandbox://", "/all")] })).Result, 0);
  for (const id of ["P3", "W1"]) await start(t, id);
  await shell("W1", "mkdir -p /all/x");
  const swapping = shell(
    "W1",
    "while ! test -e /all/stop; do mv /all/x /all/y; ln -s /etc /all/x; rm /all/x; mv /all/y /all/x; done",
  );
  for (let round = 0; round < 40; round++) {
    const created = await workload("W2", "P3", { mounts: [bind("sandbox://x", "/x")] });
    if (created.Result !== 0) continue;
    const init = await start(t, "W2");
    t.notOk(existsSync(`/proc/${init}/root/x/passwd`), "it has not the /etc of the machine");
    await remove(guest, ["W2"]);
  }
  writeFileSync(`${base}/P3/sandboxMounts/stop`, "");
  await swapping;
  await remove(guest, ["P3", "W1"]);
  t.same({ files: tree(base), mounts: mounts() }, { files: {}, mounts: [] });
});

await t.test("a pod's limits hold for all of its containers together", async (t) => {
  const linux = { resources: { memory: { limit: 67_108_864 }, pids: { limit: 60 }, cpu: { shares: 512 } } };
  t.equal((await sandbox("P4", { linux: { ...recorded.linux, ...linux } })).Result, 0);
  const limit = (file: string, controller: string) => {
    const mount = layout.mounts.find(
      ({ controllers, unified }) => controllers.includes(controller) || unified,
    );
    return readFileSync(`${mount?.mountPoint}${guest.agent.cgroupParent}/P4/${file}`, "utf8").trim();
  };
  const v2 = layout.version === 2;
  t.equal(limit(v2 ? "memory.max" : "memory.limit_in_bytes", "memory"), "67108864");
  t.equal(limit("pids.max", "pids"), "60");
  t.equal(limit(v2 ? "cpu.weight" : "cpu.shares", "cpu"), v2 ? "20" : "512");
  await start(t, "P4");
  await remove(guest, ["P4"]);
  t.same(cgroups(), ["/"]);
});

await t.test("several pods in one machine, one of them virtual, do not meet", async (t) => {
  const VIRTUAL = "io.microsoft.cri.virtual-pod-id";
  t.equal((await sandbox("P5")).Result, 0);
  t.equal((await create("V1", { annotations: { [VIRTUAL]: "V1" } })).Result, 0, "no type is needed for it");
  const created = await workload("VW", "ignored", {
    annotations: { [VIRTUAL]: "V1" },
    mounts: [bind("sandbox://d", "/d")],
  });
  t.equal(created.Result, 0, `${created.ErrorMessage}`);
  t.ok(existsSync(`${base}/virtual-pods/V1/sandboxMounts/d`), "its root is beside the bundles");
  t.ok(cgroups().includes("/V1/VW"));
  for (const id of ["P5", "V1", "VW"]) await start(t, id);
  await remove(guest, ["P5"]);
  t.equal(await shell("VW", "test -d /d"), 0, "the other pod goes on");
  await remove(guest, ["V1", "VW"]);
  t.same({ files: tree(base), mounts: mounts() }, { files: {}, mounts: [] });
});

await t.test("what only a pod has is refused outside one, and what is not there anywhere", async (t) => {
  for (const [mount, words] of [
    [bind("sandbox://a", "/a"), /is in none/],
    [bind("sandbox-tmp://a", "/a"), /is in none/],
    [bind("hugepages://2M/a", "/a"), /is in none/],
    [bind(`uvm://${base}/nothing`, "/a"), /not in the utility VM/],
    [bind("uvm://relative", "/a"), /no absolute path/],
    [{ ...bind("/etc", "blockdev:///dev/x") }, /is no device/],
    [{ ...bind(`${base}/nothing`, "blockdev:///dev/x") }, /is not there/],
  ] as const) {
    const created = await create("alone", { mounts: [mount] });
    t.equal(Number(created.Result) >>> 0, 0x80070057, `${mount.source}: ${created.ErrorMessage}`);
    t.match(created.ErrorMessage, words);
  }
  t.equal((await sandbox("P6")).Result, 0);
  for (const [source, words] of [
    ["hugepages://3M/a", /of these sizes/],
    ["hugepages://2M", /size of its pages/],
    ["hugepages://big/a", /size of its pages/],
  ] as const) {
    const created = await workload("W", "P6", { mounts: [bind(source, "/a")] });
    t.equal(Number(created.Result) >>> 0, 0x80070057, source);
    t.match(created.ErrorMessage, words);
  }
  for (const annotations of [
    { "io.microsoft.lcow.shm.size-kb": "0" },
    { "io.microsoft.lcow.shm.size-kb": "1k" },
    { "io.microsoft.lcow.rlimitcore": "1;2;3" },
    { "io.microsoft.lcow.rlimitcore": "-1;2" },
    { "io.microsoft.container.lcow.tee-log-dir-mount": "logs" },
  ]) {
    const created = await workload("W", "P6", { annotations });
    t.equal(Number(created.Result) >>> 0, 0x80070057, JSON.stringify(annotations));
    t.match(created.ErrorMessage, Object.keys(annotations)[0]);
  }
  const deleted = await guest.host.request("DeleteContainerState", { ContainerId: "P6" });
  t.equal(deleted.Result, 0, "a sandbox that was never started");
  t.same(
    { files: tree(base), mounts: mounts(), cgroups: cgroups() },
    { files: {}, mounts: [], cgroups: ["/"] },
  );
});

await t.test("huge pages, disks and devices of the machine, as a host asks for them", async (t) => {
  const pages = readdirSync("/sys/kernel/mm/hugepages").includes("hugepages-2048kB");
  symlinkSync("/dev/loop0", `${guest.agent.directory}/disk`);
  t.equal((await sandbox("P7")).Result, 0);
  const created = await workload("W1", "P7", {
    mounts: [
      ...(pages ? [bind("hugepages://2M/a", "/pages")] : []),
      bind(`${guest.agent.directory}/disk`, "blockdev:///dev/disk", ["bind", "ro"]),
      bind("uvm:///etc", "/vm-etc", ["rbind", "ro"]),
    ],
    linux: {
      devices: [
        { path: "/dev/null", type: "c", major: 9, minor: 9 },
        { path: "/dev/fuse", type: "c" },
      ],
    },
    annotations: { "io.microsoft.lcow.rlimitcore": "18446744073709551615;18446744073709551615" },
  });
  t.equal(created.Result, 0, `${created.ErrorMessage}`);
  const config = JSON.parse(readFileSync(`${base}/W1/config.json`, "utf8")) as {
    linux: { devices: Json[]; resources: { devices: Json[] } };
    process: { rlimits: Json[] };
  };
  const nothing = { path: "/dev/null", type: "c", major: 1, minor: 3, uid: 0, gid: 0 };
  t.match(config.linux.devices, [nothing, { path: "/dev/fuse", type: "c", major: 10, minor: 229 }]);
  t.match(config.linux.resources.devices, [
    { allow: true, type: "b", major: 7, minor: 0, access: "r" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 10, minor: 229, access: "rwm" },
  ]);
  t.match(readFileSync(`${base}/W1/config.json`, "utf8"), /"RLIMIT_CORE","soft":18446744073709551615/);
  for (const id of ["P7", "W1"]) await start(t, id);
  t.equal(await shell("W1", "test -b /dev/disk && test -f /vm-etc/passwd"), 0);
  if (pages) t.equal(await shell("W1", "mount | grep 'on /pages type hugetlbfs.*pagesize=2M'"), 0);
  const mighty = await workload("W2", "P7", {
    annotations: { "io.microsoft.virtualmachine.lcow.privileged": "true" },
  });
  t.equal(mighty.Result, 0, `${mighty.ErrorMessage}`);
  const all = JSON.parse(readFileSync(`${base}/W2/config.json`, "utf8")) as typeof config;
  t.same(all.linux.resources.devices, [{ allow: true, access: "rwm" }]);
  t.ok(all.linux.devices.length > 5 && all.linux.devices.some(({ path }) => path === "/dev/loop0"));
  await start(t, "W2");
  await remove(guest, ["P7", "W1", "W2"]);
  t.same({ files: tree(base), mounts: mounts() }, { files: {}, mounts: [] });
});

await t.test("a pod whose host never deletes it goes with the agent", async (t) => {
  t.equal((await sandbox("P8")).Result, 0);
  t.equal((await workload("W1", "P8", { mounts: [bind("sandbox://x", "/x")] })).Result, 0);
  for (const id of ["P8", "W1"]) await start(t, id);
  t.equal(await shell("W1", "mkdir -p /x/deep/er && touch /x/deep/er/file && ln -s /etc /x/link"), 0);
  const { cgroupParent, directory } = guest.agent;
  t.equal(await guest.agent.stop(), 0);
  t.notOk(existsSync(`${memory?.mountPoint}${cgroupParent}`), "its cgroups are gone");
  const left = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  t.same(
    left.filter((line) => line.includes(directory)),
    [],
    "its mounts are gone",
  );
  t.ok(existsSync("/etc/passwd"));
});
