import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory whose sockets fit into sun_path (108 bytes), which tap's own fixture directories do not. */
export function shortDirectory(t: { teardown(undo: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "lcow-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
