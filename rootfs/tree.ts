import { readFileSync } from "node:fs";
import path from "node:path";

export type Node =
  | { readonly type: "directory"; readonly mode: number }
  | { readonly type: "file"; readonly mode: number; readonly bytes: Buffer; readonly part: string }
  | { readonly type: "symlink"; readonly target: string }
  | { readonly type: "character"; readonly mode: number; readonly major: number; readonly minor: number };

/** The files of an image by path (no leading slash), all owned by root. Iterates in a fixed order. */
export class Tree {
  readonly #nodes = new Map<string, Node>();

  has(where: string): boolean {
    return this.#nodes.has(where);
  }

  get(where: string): Node | undefined {
    return this.#nodes.get(where);
  }

  directory(where: string, mode = 0o755): void {
    if (where === "." || where === "") return;
    this.directory(path.posix.dirname(where));
    if (!this.#nodes.has(where)) this.#nodes.set(where, { type: "directory", mode });
  }

  /** @param part the line of the size report that the file counts for. */
  file(where: string, bytes: Buffer, part: string, mode = 0o644): void {
    this.#put(where, { type: "file", mode, bytes, part });
  }

  copy(where: string, from: string, part: string, mode = 0o755): void {
    this.file(where, readFileSync(from), part, mode);
  }

  symlink(where: string, target: string): void {
    this.#put(where, { type: "symlink", target });
  }

  character(where: string, mode: number, major: number, minor: number): void {
    this.#put(where, { type: "character", mode, major, minor });
  }

  /** A tree of the files whose part satisfies, with the directories above them. */
  filter(takes: (part: string) => boolean): Tree {
    const tree = new Tree();
    for (const [where, node] of this.#nodes) {
      if (node.type === "file" && takes(node.part)) tree.#put(where, node);
    }
    return tree;
  }

  /** Takes over what another has. */
  add(other: Tree): void {
    for (const [where, node] of other.#nodes) if (node.type !== "directory") this.#put(where, node);
  }

  /** This tree without the files of another. */
  without(other: Tree): Tree {
    const tree = new Tree();
    for (const [where, node] of this.#nodes) {
      if (node.type === "directory" || !other.has(where)) tree.#nodes.set(where, node);
    }
    return tree;
  }

  /** Parents come before what they hold. */
  *entries(): IterableIterator<[string, Node]> {
    const names = [...this.#nodes.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    for (const name of names) {
      const node = this.#nodes.get(name);
      if (node) yield [name, node];
    }
  }

  #put(where: string, node: Node): void {
    this.directory(path.posix.dirname(where));
    this.#nodes.set(where, node);
  }
}
