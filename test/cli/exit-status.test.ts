/** One table of exit statuses for all verbs that run a command, and one line that says why it did not run. */
import { chmodSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import tap, { test } from "tap";
import { TestService } from "../hcs/serve/support.ts";
import { copyRootfs } from "../helpers/rootfs.ts";

tap.setTimeout(240_000);

/** The command, its status, and what is said. */
const TABLE: [command: string, status: number, said: RegExp][] = [
  ["nonesuch", 127, /nonesuch.*not found/],
  ["/bin/nonesuch", 127, /\/bin\/nonesuch.*no such file/],
  ["/bin", 126, /\/bin"?: .*(denied|directory)/],
  ["/etc/passwd", 126, /\/etc\/passwd.*permission denied/i],
  ["/etc/passwd/x", 126, /not a directory/i],
  ["/loop", 126, /symbolic links/],
  ["/text", 126, /"\/text" cannot be executed: it is no program of this kernel/],
  ["/script", 126, /"\/script" cannot be executed: its interpreter "\/nonesuch" is not there/],
];
/** Of the agent's own frames, in whatever form. */
const TRACE = /\n\s*at |file:\/\/|Stack Trace|\.ts:\d/;

function makeRoot(t: { testdir(): string; teardown(undo: () => void): void }): string {
  const directory = t.testdir();
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const root = copyRootfs(`${directory}/root`);
  writeFileSync(`${root}/text`, "only text\n", { mode: 0o755 });
  writeFileSync(`${root}/script`, "#!/nonesuch\n", { mode: 0o755 });
  symlinkSync("loop", `${root}/loop`);
  return root;
}

test("run, exec and start --attach have the same status and a line for what cannot be started", async (t) => {
  const root = makeRoot(t);
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "--root", root, "kept", "--", "/bin/sleep", "1000");
  await service.ok("start", "kept");
  for (const [index, [command, status, said]] of TABLE.entries()) {
    const name = `c${index}`;
    await service.ok("create", "--local", "--root", root, name, "--", command);
    const verbs = {
      run: ["run", "--local", "--root", root, "--", command],
      exec: ["exec", "kept", "--", command],
      "exec --detach": ["exec", "-d", "kept", "--", command],
      "start --attach": ["start", "-a", name],
    };
    for (const [verb, words] of Object.entries(verbs)) {
      const ran = await service.lcow(words);
      t.equal(ran.status, status, `${verb} ${command}: ${ran.stderr}`);
      t.equal(ran.stdout, "");
      t.match(ran.stderr, said, `${verb} ${command}`);
      const code = status === 127 ? "COMMAND_NOT_FOUND" : "COMMAND_NOT_EXECUTABLE";
      t.match(ran.stderr, new RegExp(`^lcow: [^\\n]*\\[${code}\\]\\n$`), "one line");
      t.notMatch(ran.stderr, TRACE);
    }
  }
});

test("what is not the command's fault is 125: a working directory, a user, a container that is not there", async (t) => {
  const root = makeRoot(t);
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "--root", root, "kept", "--", "/bin/sleep", "1000");
  await service.ok("start", "kept");
  for (const words of [
    ["exec", "-w", "/etc/passwd", "kept", "--", "/bin/true"],
    ["exec", "-u", "nonesuch", "kept", "--", "/bin/true"],
    ["exec", "nonesuch", "--", "/bin/true"],
    ["run", "--local", "--root", root, "-w", "/etc/passwd", "--", "/bin/true"],
    ["run", "--local", "--root", root, "-u", "nonesuch", "--", "/bin/true"],
  ]) {
    const ran = await service.lcow(words);
    t.equal(ran.status, 125, `${words.join(" ")}: ${ran.stderr}`);
    t.match(ran.stderr, /^lcow: [^\n]*\[[A-Z_]+\]\n$/, "one line");
    t.notMatch(ran.stderr, TRACE);
  }
});

test("a process outside containers has the same statuses", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "kept", "--", "/bin/sleep", "1000");
  await service.ok("start", "kept");
  const file = `${t.testdir()}/garbage`;
  writeFileSync(file, "\0garbage");
  chmodSync(file, 0o755);
  for (const [command, status] of [
    ["nonesuch", 127],
    ["/proc/none/x", 127],
    ["/etc", 126],
    ["/etc/passwd", 126],
    [file, 126],
  ] as const) {
    const ran = await service.lcow(["exec", "--in-vm", "kept", "--", command]);
    t.equal(ran.status, status, `${command}: ${ran.stderr}`);
    t.match(ran.stderr, /^lcow: [^\n]*\[[A-Z_]+\]\n$/, "one line");
    t.notMatch(ran.stderr, TRACE);
  }
});

test("where it came from is told to who asks: --debug, LCOW_DEBUG", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "kept", "--", "/bin/sleep", "1000");
  await service.ok("start", "kept");
  for (const words of [
    ["--debug", "exec", "kept", "nonesuch"],
    ["--debug", "run", "--local", "nonesuch"],
  ]) {
    const ran = await service.lcow(words);
    t.equal(ran.status, 127, ran.stderr);
    t.match(ran.stderr, /^lcow: [^\n]*nonesuch[^\n]*\n/);
    t.match(ran.stderr, /\n {4}at /, "this side's frames");
    t.match(ran.stderr, /\nIn the guest:\n[^\n]*nonesuch[^\n]*\nat /, "the agent's frames");
  }
});
