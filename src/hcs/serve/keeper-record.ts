import { renameSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { AgentError, describeError } from "../../common/errors.ts";

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

/**
 * Whole or not at all: where it cannot be written the one before stays.
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export function writeRecord(directory: string, record: KeeperRecord): void {
  const draft = `${file(directory)}.new`;
  try {
    writeFileSync(draft, JSON.stringify(record), { mode: 0o600 });
    renameSync(draft, file(directory));
  } catch (cause) {
    rmSync(draft, { force: true });
    throw new AgentError("SYSTEM_CALL_FAILED", `${file(directory)} cannot be written`, { cause });
  }
}

/** @returns undefined when it has said nothing yet, or nothing that can be understood, which is told on standard error */
export async function readRecord(directory: string): Promise<KeeperRecord | undefined> {
  const text = await readFile(file(directory), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return v.parse(schema, JSON.parse(text));
  } catch (error) {
    console.error(`${file(directory)} is no record of a keeper: ${describeError(error)}`);
    return undefined;
  }
}
