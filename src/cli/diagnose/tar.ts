/** An archive in memory, as ustar has it; POSIX.1-2017, pax, "ustar Interchange Format". */

const BLOCK = 512;

export interface ArchivedFile {
  /** Up to 100 bytes of ASCII. */
  readonly name: string;
  readonly data: Buffer;
}

/** @param date of all files. @returns tar's bytes */
export function makeTar(files: readonly ArchivedFile[], date: Date): Buffer {
  const parts = files.flatMap(({ name, data }) => [
    header(name, data.length, date),
    data,
    Buffer.alloc(-data.length & (BLOCK - 1)),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, date: Date): Buffer {
  const block = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long a name`);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  const fields: [offset: number, text: string][] = [
    [0, name],
    [100, octal(0o600, 7)],
    [108, octal(0, 7)],
    [116, octal(0, 7)],
    [124, octal(size, 11)],
    [136, octal(Math.floor(date.getTime() / 1000), 11)],
    [148, " ".repeat(8)],
    [156, "0"],
    [257, "ustar"],
    [263, "00"],
  ];
  for (const [offset, text] of fields) block.write(text, offset, "utf8");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}
