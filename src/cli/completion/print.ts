import { print } from "../output.ts";
import { systemNames } from "../service/names.ts";
import { complete } from "./complete.ts";

/** `lcow __complete WORD...`, which the scripts call. */
export async function printCandidates(words: readonly string[]): Promise<number> {
  const { words: found, files } = await complete(words, systemNames);
  await print([...found, `:${files}`].map((line) => `${line}\n`).join(""));
  return 0;
}
