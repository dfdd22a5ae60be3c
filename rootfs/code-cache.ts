import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run } from "./command.ts";

/**
 * V8's code for a bundle, as start.cjs takes it; the same bytes for the same bundle and Node.
 *
 * @param node the binary that will run the bundle, or one with the same V8: to another the code is of no use.
 * @throws AgentError SPAWN_FAILED, HELPER_FAILED
 */
export async function codeCache(node: string, bundle: Buffer): Promise<Buffer> {
  const directory = mkdtempSync(path.join(tmpdir(), "code-cache-"));
  try {
    const [file, cache] = ["gcs.cjs", "gcs.cache"].map((name) => path.join(directory, name)) as [
      string,
      string,
    ];
    writeFileSync(file, bundle);
    await run([node, "--random-seed=1", path.join(import.meta.dirname, "code-cache.cjs"), file, cache], {
      remedy: "run npm run setup",
      // Flags of the caller's would go into the code, which a Node without them refuses.
      env: { NODE_OPTIONS: undefined },
    });
    return readFileSync(cache);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
