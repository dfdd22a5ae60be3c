/** What the wall of the spec that the host side makes keeps from a container, seen from inside one. */
import { text } from "node:stream/consumers";
import tap, { test } from "tap";
import { makeDefaultSpec, type SecuritySettings } from "../../../src/hcs/uvm/default-spec.ts";
import { LocalUvm } from "../../../src/hcs/uvm/local/local-uvm.ts";
import { compileProgram } from "../../helpers/c-program.ts";

tap.setTimeout(120_000);

const uvm = await LocalUvm.start();
tap.teardown(() => uvm.close());
const root = await uvm.prepareRoot();
let count = 0;

/** The output of a shell script in a container of the default spec, with the program at /tmp/program. */
async function output(script: string, security: SecuritySettings = {}): Promise<string> {
  const id = `wall-${++count}`;
  const made = makeDefaultSpec({
    args: ["/bin/sh", "-c", script],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    cgroupNamespace: uvm.hasUnifiedCgroups,
    maximumOpenFiles: uvm.maximumOpenFiles ?? 1024,
    security,
  });
  const source = compileProgram("forbidden-calls");
  const program = { destination: "/tmp/program", type: "bind", source, options: ["bind", "ro"] };
  const spec = { ...made, mounts: [...made.mounts, program] };
  const container = await uvm.guest.createContainer(id, { bundlePath: uvm.bundlePath(id), spec });
  await container.start();
  const init = await container.createProcess({ stdout: true });
  const [said] = await Promise.all([init.stdout === undefined ? "" : text(init.stdout), init.wait()]);
  await container.deleteState();
  return said;
}

const answers = (said: string) =>
  Object.fromEntries(
    said
      .trim()
      .split("\n")
      .map((line) => line.split(" ")),
  );

const works = {
  ...{
    "clone-plain": "works",
    "personality-query": "works",
    "socket-unix": "works",
    "socket-inet6": "works",
  },
  ...{ "socket-netlink": "works" },
};

test("calls that no program needs are refused, those that programs need are not", async (t) => {
  const got = answers(await output("/tmp/program"));
  for (const [call, answer] of Object.entries(works)) t.equal(got[call], answer, call);
  for (const [call, answer] of Object.entries(got)) {
    if (Object.hasOwn(works, call)) continue;
    t.equal(answer, call === "clone3" ? "ENOSYS" : "EPERM", call);
  }
  t.ok(Object.keys(got).length > 30, "the program went through all of them");
});

test("what the kernel tells of itself is masked, and its settings are read-only", async (t) => {
  const masked = [
    "kcore",
    "keys",
    "kallsyms",
    "interrupts",
    "slabinfo",
    "vmallocinfo",
    "timer_list",
    "sched_debug",
  ];
  const script = `for f in ${masked.map((name) => `/proc/${name}`).join(" ")}; do
      [ ! -e $f ] || [ "$(head -c 1 $f | wc -c)" = 0 ] || echo $f is readable; done
    [ -z "$(ls /sys/firmware)" ] || echo firmware is there
    echo x > /proc/sys/kernel/hostname && echo hostname is writable
    echo h > /proc/sysrq-trigger && echo sysrq is writable
    grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max`;
  t.same((await output(`{ ${script}; } 2>/dev/null`)).replaceAll("\t", " ").trim().split("\n"), [
    "NoNewPrivs: 1",
    "Seccomp: 2",
    "4096",
  ]);
});

test("each part of the wall can be left out by name, and the rest stands", async (t) => {
  t.match(answers(await output("/tmp/program", { seccomp: "unconfined" })), {
    ...works,
    ...{
      clone3: "works",
      keyctl: "works",
      "socket-vsock": "EAFNOSUPPORT",
      "io-uring": "ENOSYS",
      mount: "EPERM",
    },
  });
  const ownProfile = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["socketpair", "sethostname"], action: "SCMP_ACT_ERRNO" }],
  };
  t.match(answers(await output("/tmp/program", { seccomp: ownProfile })), { ...works, keyctl: "works" });
  t.match(await output("head -c 4 /proc/kallsyms", { systemPaths: "unconfined" }), /^[0-9a-f]{4}/);
  t.match(await output("grep NoNewPrivs /proc/self/status", { noNewPrivileges: false }), /:\t0/);
  t.match(
    await output("for i in 1 2 3 4 5 6 7 8; do sleep 9 & done 2>&1", { pidsLimit: 4 }),
    /can't fork/,
    "a fork bomb ends at the limit",
  );
});
