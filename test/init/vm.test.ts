import { readFileSync } from "node:fs";
import tap, { test } from "tap";
import type { Manifest } from "../../rootfs/manifest.ts";
import { root } from "../rootfs/image.ts";
import { boot, type Run, shell } from "./vm.ts";

// A boot takes 3 s on an idle machine; this one may be busy.
tap.setTimeout(900_000);

/** The value that the script printed as `name=value`. */
function printed(run: Run, name: string): string | undefined {
  return new RegExp(`^${name}=(.*)$`, "m").exec(run.console)?.[1];
}

/** Runs one container with the runtime from a bundle made on the spot; /run and /tmp do not let programs run. */
const container = (runtime: string) => `
  mkdir -p /run/bundle && cd /run/bundle
  mount -t tmpfs none /run/bundle && cd /run/bundle && mkdir -p rootfs/bin && cp /bin/busybox rootfs/bin/
  ln -s busybox rootfs/bin/sh
  ln -s busybox rootfs/bin/echo
  ${runtime} spec
  node -e 'c=JSON.parse(fs.readFileSync(\`config.json\`));c.process.terminal=false;c.root.readonly=false;c.process.args=[\`sh\`,\`-c\`,\`echo out=of-$0-$$; exit 5\`,\`${runtime}\`];c.linux.resources.memory={limit:67108864};fs.writeFileSync(\`config.json\`,JSON.stringify(c))'
  ${runtime} run test
  echo code=$?
`;

test("initrd: the system is ready when the command runs, and off when it ends", async (t) => {
  const run = await boot(t, {
    // Nobody answers on the entropy port; that must not hold the boot up.
    init: `-e 1 ${shell(`
      echo modules=$(lsmod | cut -d' ' -f1 | tr '\\n' ' ')
      echo controllers=$(cat /sys/fs/cgroup/cgroup.subtree_control)
      echo loopback=$(ip -o -4 addr show lo | grep -c 127.0.0.1/8)
      echo limits=$(ulimit -Sn) $(ulimit -Hn)
      echo path=$PATH
      echo mounts=$(cut -d' ' -f2 /proc/mounts | sort | tr '\\n' ' ')
      echo node=$(node -p process.version)
      gcs --help | head -n 1
      i=0; while [ $i -lt 1000 ]; do (sleep 0 &); i=$((i+1)); done; sleep 1
      echo zombies=$(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l)
      touch /etc/writable && echo writable=$?
      modprobe dm_verity && echo verity=$?
      exit 7
    `)}`,
  });
  t.equal(run.code, 0, "powered off by itself");
  const modules = printed(run, "modules")?.split(" ") ?? [];
  for (const name of ["vsock", "overlay", "sd_mod", "loop"]) t.ok(modules.includes(name), name);
  for (const name of ["hv_sock", "hv_vmbus", "vmw_vsock_virtio_transport", "vsock_loopback"]) {
    t.notOk(modules.includes(name), `${name} is not for this machine`);
  }
  for (const name of ["cpu", "cpuset", "io", "memory", "pids"]) {
    t.ok(printed(run, "controllers")?.split(" ").includes(name), `${name} is delegated`);
  }
  t.equal(printed(run, "loopback"), "1");
  t.equal(printed(run, "limits"), "1024 1048576");
  t.equal(printed(run, "path"), "/sbin:/usr/sbin:/bin:/usr/bin");
  const mounts = (printed(run, "mounts") ?? "").trim().split(" ");
  const wanted = [
    "/",
    "/dev",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/proc",
    "/run",
    "/sys",
    "/sys/fs/cgroup",
    "/tmp",
  ];
  t.same(mounts, wanted, "each mounted, and none twice");
  t.match(printed(run, "node"), /^v26\./);
  t.match(run.console, /^gcs: the guest compute service/m, "the agent starts");
  t.equal(printed(run, "zombies"), "0", "a thousand orphans were reaped");
  t.equal(printed(run, "writable"), "0");
  t.equal(printed(run, "verity"), "0");
  t.match(run.console, /^init: command exited with status 7$/m);
});

test("initrd: runc and crun run containers, with a pivot of the root", async (t) => {
  for (const runtime of ["runc", "crun"]) {
    const version = `echo version=$(${runtime} --version | head -n 1)`;
    const run = await boot(t, { init: shell(`${version}\n${container(runtime)}`) });
    t.equal(printed(run, "out"), `of-${runtime}-1`, run.console);
    t.equal(printed(run, "code"), "5");
    const { runtimes } = JSON.parse(readFileSync(`${root}/out/image.json`, "utf8")) as Manifest;
    const [upstream = ""] = (runtimes.packages[runtime] ?? "").split("-");
    t.equal(printed(run, "version")?.trim(), `${runtime} version ${upstream}`, "which image.json names");
  }
});

test("disk: the root is read-only, -w makes /etc and /var writable, runc runs", async (t) => {
  const run = await boot(t, {
    disk: true,
    init: `-w ${shell(`
      touch /readonly 2>/dev/null; echo root=$?
      touch /etc/a /var/b; echo overlays=$?
      echo mounts=$(cut -d' ' -f1,2,3 /proc/mounts | grep -E ' /(etc|var)? ' | tr ' ' , | tr '\\n' ' ')
      ${container("runc")}
      kill -KILL $$
    `)}`,
  });
  t.equal(run.code, 0);
  t.equal(printed(run, "root"), "1");
  t.equal(printed(run, "overlays"), "0");
  t.equal(printed(run, "mounts")?.trim(), "/dev/vda,/,ext4 overlay,/etc,overlay overlay,/var,overlay");
  t.equal(printed(run, "out"), "of-runc-1", run.console);
  t.equal(printed(run, "code"), "5");
  t.match(
    run.console,
    /^init: command exited with status 137: killed by signal 9 \(Killed\); this machine ends/m,
    "128 and the signal",
  );
});

test("hcsshim's own command line: without a host the agent's start fails at once and the machine goes off", async (t) => {
  const run = await boot(t, {
    kernel: "pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0",
    init: "-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel debug",
  });
  t.match(run.console, /^vsockexec: connect to host port 109: /m);
  t.match(run.console, /^init: command exited with status 1$/m);
  t.equal(run.code, 0);
});

test("vsockexec without a host fails at once, and with -r the program outlives one that is missing", async (t) => {
  const run = await boot(t, {
    init: shell(`
      vsockexec -e 109 echo never; echo direct=$?
      vsockexec -r -e 110 sh -c 'echo lost >&2; exit 4'; echo relay=$?
    `),
  });
  t.equal(printed(run, "direct"), "1");
  t.match(run.console, /^vsockexec: connect to host port 109: No such device/m);
  t.notMatch(run.console, /^never/m);
  t.equal(printed(run, "relay"), "4");
});

test("poweroff in the guest ends the command with SIGTERM, and then the machine", async (t) => {
  const run = await boot(t, {
    init: shell(`trap 'echo ended=well; exit 0' TERM\n poweroff & wait\n sleep 1000 & wait`),
  });
  t.equal(printed(run, "ended"), "well", run.console);
  t.match(run.console, /^init: command exited with status 0$/m);
});

test("what cannot be started is told, as is wrong usage", async (t) => {
  const absent = await boot(t, { init: "/no/such/command" });
  t.match(absent.console, /^init: cannot run \/no\/such\/command: No such file/m);
  t.match(absent.console, /^init: command exited with status 127$/m);
  const usage = await boot(t, { init: "-e zero /bin/true" });
  t.match(usage.console, /^init: usage: /m);
  t.equal(usage.code, 0);
});

test("the kernel is closed to what a container could use against it, unless asked not to", async (t) => {
  const names = [
    ...["kernel/kptr_restrict", "kernel/yama/ptrace_scope", "kernel/kexec_load_disabled", "kernel/sysrq"],
    ...["kernel/dmesg_restrict", "user/max_user_namespaces", "kernel/modules_disabled"],
  ];
  // What nothing in the image is named after must not load, and what is must be there already; however busy it is.
  const script = `
    while :; do :; done & busy=$!
    i=0; while [ $(cat /proc/sys/kernel/modules_disabled) = 0 -a $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done; kill $busy
    cd /proc/sys; for n in ${names.join(" ")}; do echo $n=$(cat $n); done
    modprobe dm_crypt; echo known=$?
    rmmod dummy 2>/dev/null; echo unload=$?
    echo delegated=$(grep -c ' /sys/fs/cgroup cgroup2 .*nsdelegate' /proc/mounts)
  `;
  const closed = await boot(t, { init: shell(script) });
  const wanted = ["2", "1", "1", "0", "1", "256", "1"];
  for (const [index, name] of names.entries()) t.equal(printed(closed, name), wanted[index], name);
  t.equal(printed(closed, "known"), "0", "a module of the image is loaded");
  t.equal(printed(closed, "unload"), "1");
  t.equal(printed(closed, "delegated"), "1");
  const open = await boot(t, {
    kernel: "lcow.harden=off",
    init: shell(`
      cd /proc/sys; for n in ${names.join(" ")}; do echo $n=$(cat $n); done
      modprobe dm_crypt; echo known=$?; rmmod dm_crypt; echo unload=$?
    `),
  });
  t.equal(printed(open, "kernel/kexec_load_disabled"), "0");
  t.equal(printed(open, "kernel/modules_disabled"), "0");
  t.equal(printed(open, "known"), "0");
  t.equal(printed(open, "unload"), "0");
});
