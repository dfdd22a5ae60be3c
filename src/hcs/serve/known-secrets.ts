import { SHORTEST_SECRET, secretValues } from "../../common/secret-fields.ts";

/** Characters of all values together. */
const MOST = 4 * 1024 * 1024;

/**
 * The values that a keeper has been given in fields that can hold secrets, so that what it tells of its systems can be
 * freed of them; of systems that are gone, too, since their traces are in the same logs. In memory only.
 */
export class KnownSecrets {
  readonly #values = new Set<string>();
  #size = 0;

  /** @param request whatever was asked */
  note(request: unknown): void {
    for (const value of secretValues(request)) {
      if (value.length < SHORTEST_SECRET || this.#values.has(value)) continue;
      this.#size += value.length;
      if (this.#size <= MOST) this.#values.add(value);
    }
  }

  /** undefined when there were too many to know them all: then no log can be freed of them. */
  get all(): readonly string[] | undefined {
    return this.#size > MOST ? undefined : [...this.#values];
  }
}
