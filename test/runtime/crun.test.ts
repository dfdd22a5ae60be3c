import { reExecuteInPlainCgroups } from "../helpers/plain-cgroup.ts";

if (!reExecuteInPlainCgroups()) {
  // Only now: a tap that is imported reports, and the inner program does that.
  const { runSuite } = await import("./suite/suite.ts");
  await runSuite("crun");
}
