import t from "tap";
import { isTrue } from "../../../../src/gcs/uvm/spec/annotations.ts";
import { etcFiles, etcMounts, missingEtcFiles } from "../../../../src/gcs/uvm/spec/etc-mounts.ts";
import { runtimeSpec } from "../../../../src/gcs/uvm/spec/runtime-spec.ts";
import { etcHosts, etcResolvConf } from "../../../../src/network/etc-files.ts";

const spec = {
  ociVersion: "1.0.2",
  hostname: "web.example.com",
  process: { args: ["/bin/true"], cwd: "/" },
  root: { path: "/r", readonly: true },
  mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
  linux: { namespaces: [{ type: "pid" }], resources: { memory: { limit: 9223372036854771712n } } },
  windows: { network: { networkNamespace: "x" } },
  "x-unknown": { kept: [1, 2] },
};

await t.test("hosts, hostname and resolv.conf as a standalone container gets them", async (t) => {
  const files = etcFiles(spec, "uvm");
  t.same(
    files.map(({ destination }) => destination),
    ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"],
  );
  t.equal(files[0]?.content, "web.example.com\n");
  t.match(files[1]?.content, "127.0.0.1 web.example.com web\n");
  t.match(etcHosts("web"), "127.0.0.1 localhost\n127.0.0.1 web\n");
  t.equal(
    etcResolvConf(["a.b", "c"], ["10.0.0.1", "10.0.0.2"]),
    "search a.b c\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n",
  );
  t.throws(() => etcResolvConf(["1", "2", "3", "4", "5", "6", "7"], []), { code: "INVALID_ARGUMENT" });
});

await t.test("privileged is what the host calls so, in any of Go's words for true", async (t) => {
  const name = "io.microsoft.virtualmachine.lcow.privileged";
  for (const value of ["true", "True", "TRUE", "t", "T", "1"])
    t.ok(isTrue({ ...spec, annotations: { [name]: value } }, "privileged"), value);
  for (const value of ["false", "", "yes", "tRUE", "2"])
    t.notOk(isTrue({ ...spec, annotations: { [name]: value } }, "privileged"), value);
  t.notOk(isTrue(spec, "privileged"));
});

await t.test("without a host name the machine's is taken", async (t) => {
  t.equal(etcFiles({ ...spec, hostname: undefined }, "uvm")[0]?.content, "uvm\n");
});

await t.test("a file that the host mounts itself is left alone", async (t) => {
  const mounts = [...spec.mounts, { destination: "/etc/hosts", type: "bind", source: "/h" }];
  const missing = missingEtcFiles({ ...spec, mounts }, etcFiles(spec, "uvm"));
  t.same(
    missing.map(({ destination }) => destination),
    ["/etc/hostname", "/etc/resolv.conf"],
  );
});

await t.test("a host name that would break out of its line is refused", async (t) => {
  for (const hostname of ["a b", "a\nb", "a/b", "x".repeat(256), "ä"]) {
    t.throws(
      () => etcFiles({ ...spec, hostname }, "uvm"),
      { code: "INVALID_ARGUMENT" },
      JSON.stringify(hostname),
    );
  }
});

await t.test(
  "the runtime's spec has our cgroup, files are bound in as the root is, and everything else is untouched",
  async (t) => {
    const before = structuredClone(spec);
    const edited = runtimeSpec(spec, { cgroupsPath: "/pods/c1", unifiedCgroups: true, hostNetwork: false });
    t.same(spec, before, "the host's own object is not changed");
    t.equal(edited.linux?.cgroupsPath, "/pods/c1");
    t.equal(edited.linux?.resources?.memory?.limit, 9223372036854771712n);
    t.same(edited["x-unknown"], { kept: [1, 2] });
    t.equal("windows" in edited, false);
    t.same(etcMounts(spec, "/b", etcFiles(spec, "uvm")), [
      { destination: "/etc/hostname", type: "bind", source: "/b/hostname", options: ["bind", "ro"] },
      { destination: "/etc/hosts", type: "bind", source: "/b/hosts", options: ["bind", "ro"] },
      { destination: "/etc/resolv.conf", type: "bind", source: "/b/resolv.conf", options: ["bind", "ro"] },
    ]);
  },
);

await t.test("no runtime mounts cgroup2 anew from the machine's own namespace", async (t) => {
  const cgroup = {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: ["nosuid", "ro"],
  };
  const edit = (namespaces: { type: string; path?: string }[], unifiedCgroups = true) =>
    runtimeSpec(
      { ...spec, mounts: [cgroup], linux: { namespaces } },
      { cgroupsPath: "/pods/c1", unifiedCgroups, hostNetwork: false },
    ).mounts;
  const bound = [{ ...cgroup, type: "bind", source: "/sys/fs/cgroup", options: ["bind", "nosuid", "ro"] }];
  t.same(edit([{ type: "pid" }]), bound);
  t.same(edit([{ type: "cgroup", path: "/proc/1/ns/cgroup" }]), bound, "one to join may be the machine's");
  t.same(edit([{ type: "cgroup" }]), [cgroup], "in a namespace of its own it changes nothing");
  t.same(edit([{ type: "pid" }], false), [cgroup], "version 1 has no such flag");
});

await t.test("on the host's network a container has no network namespace", async (t) => {
  const linux = { namespaces: [{ type: "pid" }, { type: "network" }, { type: "ipc" }] };
  const options = { cgroupsPath: "/p", unifiedCgroups: false };
  const namespaces = (hostNetwork: boolean) =>
    runtimeSpec({ ...spec, linux }, { ...options, hostNetwork }).linux?.namespaces?.map(({ type }) => type);
  t.same(namespaces(true), ["pid", "ipc"]);
  t.same(namespaces(false), ["pid", "network", "ipc"]);
});
