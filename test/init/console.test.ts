import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";

const root = join(import.meta.dirname, "../..");

function compile(t: Test): { readonly directory: string; readonly program: string } {
  const directory = t.testdir();
  const program = join(directory, "bare-console");
  const sources = ["test/helpers/programs/bare-console.c", "native/init/log.c"];
  execFileSync("gcc", ["-std=gnu17", "-D_GNU_SOURCE", "-o", program, ...sources], { cwd: root });
  return { directory, program };
}

t.test("where the kernel has opened no console, what /init runs has stdin, stdout and stderr", (t) => {
  const { directory, program } = compile(t);
  const script = 'fds=$(readlink "/proc/$$/fd/0" "/proc/$$/fd/1" "/proc/$$/fd/2"); echo "$fds" >fds';
  execFileSync(program, ["/bin/sh", "-c", script], { cwd: directory });
  t.match(readFileSync(join(directory, "fds"), "utf8"), /^(\/dev\/(console|null)\n){3}$/);
  t.end();
});

t.test("a console whose output somebody has stopped keeps /init from nothing", (t) => {
  const { program } = compile(t);
  const ran = spawnSync(program, ["--stalled"], { timeout: 30_000, killSignal: "SIGKILL", encoding: "utf8" });
  t.match(ran, { status: 0, signal: null, stderr: "" });
  t.end();
});
