// Imported into each test file under tap, which otherwise loads its hooks into every Node that a test starts, the
// environment that the test gives it notwithstanding: more than doubles what a start costs, and it is not what users run.
import processOnSpawn from "process-on-spawn";

const HOOK = /\s*"?--import=[^\s"]*\/@tapjs\/[^\s"]*"?/g;

function withoutHook(env) {
  const { NODE_OPTIONS, ...others } = Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith("_TAPJS_")),
  );
  const options = NODE_OPTIONS?.replaceAll(HOOK, "").trim();
  return options ? { ...others, NODE_OPTIONS: options } : others;
}

process.env.NODE_OPTIONS = withoutHook(process.env).NODE_OPTIONS ?? "";
if (process.env.NODE_OPTIONS === "") delete process.env.NODE_OPTIONS;
// Behind tap's own, which it registers with the first module that is loaded.
processOnSpawn.addListener((started) => {
  started.env = withoutHook(started.env);
});
