import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "tap";
import {
  detectCgroupLayout,
  parseCgroupMounts,
  parseProcessCgroups,
} from "../../../src/linux/cgroups/layout.ts";

const v1 = `22 1 0:20 / / rw - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 master:3 - cgroup cgroup rw,xattr,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/with\\040blank rw - cgroup cgroup rw,pids
35 31 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
`;
const unified = "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
const v2 = "26 25 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

test("mounts are parsed, with co-mounted controllers, blanks and named hierarchies", (t) => {
  t.same(parseCgroupMounts(v1), [
    { controllers: ["cpu", "cpuacct"], mountPoint: "/sys/fs/cgroup/cpu,cpuacct", root: "/", unified: false },
    { controllers: ["memory"], mountPoint: "/sys/fs/cgroup/memory", root: "/", unified: false },
    { controllers: ["pids"], mountPoint: "/sys/fs/cgroup/with blank", root: "/", unified: false },
    { controllers: [], mountPoint: "/sys/fs/cgroup/systemd", root: "/", unified: false },
  ]);
  t.equal(
    parseCgroupMounts(v2 + v2.replaceAll("/sys/fs/cgroup", "/elsewhere")).length,
    1,
    "a second place adds nothing",
  );
  t.same(parseCgroupMounts("no mountinfo\n"), []);
  t.end();
});

for (const [name, mountinfo, version] of [
  ["v1", v1, 1],
  ["v2", v2, 2],
  ["hybrid: controllers decide", unified + v1, 1],
  ["a cgroup2 beside a named hierarchy only", `${v1.split("\n").at(-2)}\n${unified}`, 2],
] as const) {
  test(`layout: ${name}`, (t) => {
    const root = t.testdir({ proc: { self: { mountinfo } } });
    const layout = detectCgroupLayout(root);
    t.equal(layout.version, version);
    t.ok(layout.mounts.every(({ mountPoint }) => mountPoint.startsWith(`${root}/sys/fs/cgroup`)));
    t.end();
  });
}

test("no cgroups at all is an error", (t) => {
  const root = t.testdir();
  mkdirSync(`${root}/proc/self`, { recursive: true });
  writeFileSync(`${root}/proc/self/mountinfo`, "22 1 0:20 / / rw - ext4 /dev/vda rw\n");
  t.throws(() => detectCgroupLayout(root), { code: "CGROUP_UNAVAILABLE" });
  t.end();
});

test("the paths of a process are found by hierarchy", (t) => {
  const root = t.testdir({ proc: { self: { mountinfo: v1 + unified } } });
  const layout = detectCgroupLayout(root);
  const text =
    "9:name=systemd:/\n4:memory:/pods/a/b\n3:cpu,cpuacct:/pods/a\n2:pids:/../outside\n1:freezer:/x\n0::/pods/gone (deleted)\n";
  const paths = [...parseProcessCgroups(text, layout)].map(([mount, path]) => [
    mount.mountPoint.slice(root.length),
    path,
  ]);
  t.same(paths, [
    ["/sys/fs/cgroup/memory", "/pods/a/b"],
    ["/sys/fs/cgroup/cpu,cpuacct", "/pods/a"],
    ["/sys/fs/cgroup/unified", "/pods/gone"],
  ]);
  t.end();
});

test("this machine's layout is found", (t) => {
  const layout = detectCgroupLayout();
  t.ok(layout.mounts.length > 0);
  t.end();
});
