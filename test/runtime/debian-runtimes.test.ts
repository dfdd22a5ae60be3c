import { reExecuteInPlainCgroups } from "../helpers/plain-cgroup.ts";

if (!reExecuteInPlainCgroups()) {
  // Only now, as in crun.test.ts.
  const { runDebianRuntimes } = await import("./suite/debian-runtimes.ts");
  await runDebianRuntimes();
}
