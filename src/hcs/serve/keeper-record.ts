import { renameSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";

const schema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(2)),
  systems: v.array(
    v.object({
      Id: v.string(),
      SystemType: v.string(),
      Owner: v.optional(v.string()),
      HostingSystemId: v.optional(v.string()),
      CreatedAt: v.string(),
      Command: v.string(),
    }),
  ),
  agents: v.array(
    v.object({
      pid: v.pipe(v.number(), v.integer(), v.minValue(2)),
      traces: v.object({
        directory: v.string(),
        ociRuntime: v.string(),
        runtimeRoot: v.string(),
        cgroupParent: v.string(),
      }),
    }),
  ),
});

/** What a keeper keeps, in its directory for when it cannot be asked. */
export type KeeperRecord = v.InferOutput<typeof schema>;

const file = (directory: string) => join(directory, "keeper.json");

/** Whole or not at all. On a full disk the one before stays: it is needed only when the keeper is lost. */
export function writeRecord(directory: string, record: KeeperRecord): void {
  const draft = `${file(directory)}.new`;
  try {
    writeFileSync(draft, JSON.stringify(record), { mode: 0o600 });
    renameSync(draft, file(directory));
  } catch (error) {
    rmSync(draft, { force: true });
    console.error(`${file(directory)} could not be written`, error);
  }
}

/** @returns undefined when it has said nothing yet */
export async function readRecord(directory: string): Promise<KeeperRecord | undefined> {
  const text = await readFile(file(directory), "utf8").catch(() => undefined);
  return text === undefined ? undefined : v.parse(schema, JSON.parse(text));
}
