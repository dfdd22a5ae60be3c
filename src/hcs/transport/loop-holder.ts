/** Sockets, servers and children that together keep this program running or do not, those that come later included. */
export class LoopHolder {
  readonly #handles = new Set<object>();
  #keepsLoopAlive = true;

  /** @param handle of Node's, or a stream whose kind is not known: one that has no ref() and unref() holds nothing */
  add(handle: object): void {
    this.#handles.add(handle);
    if (!this.#keepsLoopAlive) apply(handle, "unref");
  }

  delete(handle: object): void {
    this.#handles.delete(handle);
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#keepsLoopAlive = on;
    for (const handle of this.#handles) apply(handle, on ? "ref" : "unref");
  }
}

function apply(handle: object & { ref?: unknown; unref?: unknown }, name: "ref" | "unref"): void {
  const method = handle[name];
  if (typeof method === "function") method.call(handle);
}
