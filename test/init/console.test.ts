import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";

const root = join(import.meta.dirname, "../..");

t.test("where the kernel has opened no console, what /init runs has stdin, stdout and stderr", (t) => {
  const directory = t.testdir();
  const program = join(directory, "bare-console");
  const sources = ["test/helpers/programs/bare-console.c", "native/init/log.c"];
  execFileSync("gcc", ["-std=gnu17", "-D_GNU_SOURCE", "-o", program, ...sources], { cwd: root });
  const script = 'fds=$(readlink "/proc/$$/fd/0" "/proc/$$/fd/1" "/proc/$$/fd/2"); echo "$fds" >fds';
  execFileSync(program, ["/bin/sh", "-c", script], { cwd: directory });
  t.match(readFileSync(join(directory, "fds"), "utf8"), /^(\/dev\/(console|null)\n){3}$/);
  t.end();
});
