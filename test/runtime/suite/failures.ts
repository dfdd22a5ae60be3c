import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type Member, openFds, type RuntimeContext, shell, untilGone } from "./context.ts";

/** A program with the runtime's command line that does as the test says. */
function fakeRuntime(context: RuntimeContext, script: string): string {
  const path = `${context.directory}/fake-runtime`;
  writeFileSync(path, `#!/bin/sh\nreal=${context.command}\nall="$*"\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Sets $pid_file and $command from the arguments. */
const readArguments =
  'while [ $# -gt 0 ]; do case $1 in --root|--log|--log-format) shift;; --pid-file) pid_file=$2; shift;; --*) ;; *) [ "$command" ] || command=$1;; esac; shift; done';

export const failures: Record<string, Member> = {
  async "of two containers with one id the first stays"(t, context) {
    const { container } = await context.run("same", { args: ["/bin/sleep", "1000"] });
    await t.rejects(context.create("same"), { code: "CONTAINER_ALREADY_EXISTS" });
    // Another agent over the same state does not know it.
    const other = context.newRuntime(context.command);
    await t.rejects(other.createContainer("same", context.bundle()), { code: "CONTAINER_ALREADY_EXISTS" });
    const broken = context.bundle({ extra: { ociVersion: "not a version", process: null } });
    await t.rejects(other.createContainer("same", broken));
    t.equal((await container.getState()).status, "running");
    const both = await Promise.allSettled([context.create("race"), context.create("race")]);
    t.same(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  },

  async "ids that are no names are refused before anything is made of them"(t, context) {
    for (const id of ["", ".", "..", "../escape", "a/b", "-rf", "a b", "a\n", "ä", "x".repeat(256)])
      await t.rejects(context.create(id), { code: "INVALID_CONTAINER_ID" });
    const longest = await context.create(`x${"y".repeat(200)}`, { terminal: true });
    await longest.delete();
  },

  async "of a terminal's socket with too long a path for one nothing stays, while it runs and after"(
    t,
    context,
  ) {
    const { TMPDIR } = process.env;
    t.teardown(() => {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    });
    const sockets = `${context.directory}/t`;
    mkdirSync(sockets);
    process.env.TMPDIR = sockets;
    const long = context.newRuntime(context.command, 60_000, `${context.directory}/${"x".repeat(100)}`);
    const bundle = context.bundle({ terminal: true, args: ["/bin/sleep", "1000"] });
    const container = await long.createContainer("long", bundle);
    t.same(readdirSync(sockets), [], "the terminal has come");
    await container.start();
    const executed = await container.execProcess({ ...shell("tty"), terminal: true }, {});
    t.equal(await executed.wait(), 0);
    t.same(readdirSync(sockets), [], "and another one's");
    await container.delete({ force: true });
    const missing = context.bundle({ terminal: true, args: ["/bin/nonesuch"] });
    await t.rejects(long.createContainer("long", missing), { code: "COMMAND_NOT_FOUND" });
    t.same(readdirSync(sockets), []);
  },

  async "nothing is left of a container that cannot be made"(t, context) {
    const before = openFds();
    for (const terminal of [false, true]) {
      const attempt = context.create("half", { args: ["/bin/nonesuch"], env: ["SECRET=hunter2"], terminal });
      await t.rejects(attempt, {
        code: "COMMAND_NOT_FOUND",
        message: /command "\/bin\/nonesuch" was not found: .*create failed/,
      });
      await t.rejects(attempt, { message: /^(?!.*hunter2)/ });
    }
    await t.rejects(context.runtime.createContainer("half", `${context.directory}/nowhere`), {
      code: "RUNTIME_FAILED",
      message: /config\.json/,
    });
    const said = {
      process: { args: ["/bin/as-said"] },
      linux: { cgroupsPath: `${context.cgroupParent}/said` },
    };
    const given = context.runtime.createContainer("half", context.bundle({ args: ["/bin/nonesuch"] }), {
      spec: said,
    });
    await t.rejects(
      given,
      { message: /command "\/bin\/as-said" was not found: / },
      "config.json is not read again",
    );
    t.same([context.files(), context.cgroups(), openFds()], [[], [], before]);
    const container = await context.create("half");
    await container.delete();
  },

  async "a runtime that is not there is told"(t, context) {
    const runtime = context.newRuntime(`${context.directory}/nonesuch`);
    await t.rejects(runtime.createContainer("x", context.bundle()), { code: "SPAWN_FAILED" });
    t.same(context.files(), []);
    t.equal(context.warnings.length > 0, true, "and so is that nothing could be undone with it");
    context.warnings.length = 0;
  },

  async "of a runtime's log the end is read, however long it is"(t, context) {
    const log = 'for word; do [ "$last" = --log ] && log=$word; last=$word; done';
    const error = '{"level":"error","msg":"the reason at the end"}';
    const script = `${log}; truncate -s 300M "$log"; printf '\\n%s\\n' '${error}' >> "$log"; exit 1`;
    const runtime = context.newRuntime(fakeRuntime(context, script));
    const before = process.memoryUsage.rss();
    await t.rejects(runtime.createContainer("long", context.bundle()), {
      message: /: the reason at the end/,
    });
    t.ok(process.memoryUsage.rss() - before < 64 * 1024 * 1024, "it is not read whole");
    t.same(context.files(), []);
    context.warnings.length = 0;
  },

  async "a runtime that hangs is killed with all it started"(t, context) {
    const script = `${readArguments}\nif [ "$command" = create ]; then sleep 1000 & echo $! > ${context.directory}/child; wait; fi`;
    const runtime = context.newRuntime(fakeRuntime(context, script), 500);
    await t.rejects(runtime.createContainer("hang", context.bundle()), {
      code: "HELPER_TIMEOUT",
      message: "fake-runtime create was not done within 500 ms and was killed",
    });
    await untilGone(Number(readFileSync(`${context.directory}/child`, "utf8")));
    t.same(context.files(), []);
  },

  async "a container is undone when its runtime hangs after making it"(t, context) {
    const script = `$real $all || exit; ${readArguments}\n[ "$command" = create ] && sleep 1000; exit 0`;
    const runtime = context.newRuntime(fakeRuntime(context, script), 3000);
    await t.rejects(runtime.createContainer("late", context.bundle()), { code: "HELPER_TIMEOUT" });
    t.same([context.files(), context.cgroups(), await context.runtime.listContainerStates()], [[], [], []]);
  },

  async "a process that dies before anybody knows its pid keeps its code"(t, context) {
    const script = [
      readArguments,
      "case $command in",
      '  create) (sh -c "sleep 0.05; exit 42" & echo -n $! > "$pid_file"); sleep 0.3;;',
      '  state) echo \'{"id":"early","status":"stopped","bundle":"/"}\';;',
      "esac",
    ].join("\n");
    const runtime = context.newRuntime(fakeRuntime(context, script));
    const container = await runtime.createContainer("early", context.bundle());
    t.equal(await container.getInitProcess().wait(), 42);
    await container.delete();
  },

  async "a container of others is not touched when ours of that id fails"(t, context) {
    const theirs = context.bundle({ args: ["/bin/sleep", "1000"] });
    const root = ["--root", context.stateRoot];
    execFileSync(context.command, [...root, "create", "--bundle", theirs, "theirs"], { stdio: "ignore" });
    const broken = context.bundle({ extra: { ociVersion: "not a version", process: null } });
    await t.rejects(context.runtime.createContainer("theirs", broken));
    t.match(await context.runtime.listContainerStates(), [{ id: "theirs", status: "created" }]);
    execFileSync(context.command, [...root, "delete", "--force", "theirs"]);
  },
};
