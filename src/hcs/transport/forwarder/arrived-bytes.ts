/** Small parts are gathered in blocks of at least this many bytes. */
const BLOCK_BYTES = 4096;

/**
 * A part of a chunk, fit to be kept: a view of a chunk keeps all of it in memory, 64 KiB for a byte, so that what is
 * less than half of its chunk is copied.
 */
export function compact(part: Buffer): Buffer {
  if (part.length * 2 >= part.buffer.byteLength) return part;
  const copy = Buffer.allocUnsafeSlow(part.length);
  part.copy(copy);
  return copy;
}

/**
 * Bytes in the order of their arrival. What they keep in memory is at most twice their number, and a block for every
 * 2 KiB of it: whoever sends single bytes cannot make each cost a buffer.
 */
export class ArrivedBytes {
  readonly #blocks: Buffer[] = [];
  /** Room behind the last block's bytes. */
  #spare: Buffer | undefined;

  get isEmpty(): boolean {
    return this.#blocks.length === 0;
  }

  push(part: Buffer): void {
    const rest = this.#fill(part);
    if (rest.length === 0) return;
    if (rest.length * 2 >= Math.max(rest.buffer.byteLength, BLOCK_BYTES)) {
      this.#blocks.push(rest);
      this.#spare = undefined;
      return;
    }
    const block = Buffer.allocUnsafeSlow(Math.max(rest.length, BLOCK_BYTES));
    rest.copy(block);
    this.#blocks.push(block.subarray(0, rest.length));
    this.#spare = block.subarray(rest.length);
  }

  shift(): Buffer | undefined {
    const block = this.#blocks.shift();
    if (this.#blocks.length === 0) this.#spare = undefined;
    return block === undefined ? undefined : compact(block);
  }

  clear(): void {
    this.#blocks.length = 0;
    this.#spare = undefined;
  }

  /** Puts what fits into the room behind the last block. @returns the rest */
  #fill(part: Buffer): Buffer {
    const last = this.#blocks.at(-1);
    const spare = this.#spare;
    if (last === undefined || spare === undefined) return part;
    const size = part.copy(spare);
    this.#spare = size === spare.length ? undefined : spare.subarray(size);
    this.#blocks[this.#blocks.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + size);
    return part.subarray(size);
  }
}
