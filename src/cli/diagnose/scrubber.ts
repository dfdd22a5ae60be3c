import { printable, printableJson, printableLines } from "../../common/printable.ts";
import { commandFields, SHORTEST_SECRET, secretFields, secretValues } from "../../common/secret-fields.ts";

const REPLACEMENT = "<scrubbed>";
/** Command lines in one text; the first two as the service tells them. */
const commandTexts: ReadonlySet<string> = new Set(["Command", "command", "CommandLine"]);

/** Takes secrets out of values and texts: fields that hold some, and the same values wherever else they stand. */
export class Scrubber {
  /** Longest first, so that of one within another nothing is left. */
  readonly #values: readonly string[];
  /** Characters: what stands at a cut may be a part of one so long. */
  readonly longest: number;

  /** @param values what is secret, besides what is found in `documents` */
  constructor(values: readonly string[], documents: readonly unknown[] = []) {
    const all = [...values, ...documents.flatMap((document) => [...secretValues(document)])];
    const shown = all.filter((value) => value.length >= SHORTEST_SECRET).flatMap(asShown);
    this.#values = [...new Set(shown)].sort((one, other) => other.length - one.length);
    this.longest = this.#values[0]?.length ?? 0;
  }

  text(text: string): string {
    let scrubbed = text;
    for (const value of this.#values) scrubbed = scrubbed.replaceAll(value, REPLACEMENT);
    return scrubbed;
  }

  /** Names stay, of environments too; values go. */
  value(value: unknown): unknown {
    if (typeof value === "string") return this.text(value);
    if (typeof value === "bigint" || typeof value === "number") {
      const text = String(value);
      return this.#values.some((secret) => text.includes(secret)) ? REPLACEMENT : value;
    }
    if (Array.isArray(value)) return value.map((item) => this.value(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, field]) => {
        if (typeof field === "string" && commandTexts.has(name)) return [name, this.#command(field)];
        return [name, secretFields.has(name) ? this.#hidden(name, field) : this.value(field)];
      }),
    );
  }

  #command(text: string): string {
    const [program = "", ...words] = text.split(" ");
    return [this.text(program), ...(words.length === 0 ? [] : [REPLACEMENT])].join(" ");
  }

  #hidden(name: string, field: unknown): unknown {
    if (Array.isArray(field)) {
      if (name === "env") return field.map((entry) => `${String(entry).split("=", 1)[0]}=${REPLACEMENT}`);
      if (!commandFields.has(name)) return field.map(() => REPLACEMENT);
      // Of a seccomp profile.
      if (field.some((word) => typeof word !== "string")) return this.value(field);
      const [program, ...words] = field;
      return [this.text(String(program)), ...words.map(() => REPLACEMENT)];
    }
    if (typeof field !== "object" || field === null) return REPLACEMENT;
    return Object.fromEntries(Object.keys(field).map((key) => [key, REPLACEMENT]));
  }
}

/** How logs show a value: as it is, in JSON, with controls marked. */
function asShown(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1);
  const twice = JSON.stringify(json).slice(1, -1);
  return [value, json, twice, printable(value, value.length), printableLines(value), printableJson(json)];
}
