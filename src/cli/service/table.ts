import { stringifyJson } from "../../common/json.ts";
import { printable, printableJson } from "../../common/printable.ts";
import { print } from "../output.ts";

/** Prints rows in columns, with a heading; or, for programs, `data` as JSON. */
export async function printTable(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  json: { readonly wanted: boolean; readonly data: unknown },
): Promise<void> {
  if (json.wanted) {
    await print(`${printableJson(stringifyJson(json.data))}\n`);
    return;
  }
  await print(formatTable(heading, rows));
}

/** Lines, each with its end. */
export function formatTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  // What came from a container must not command the terminal.
  const shown = [heading, ...rows].map((row) => row.map((cell) => printable(cell)));
  const widths = heading.map((_, column) => Math.max(...shown.map((row) => (row[column] ?? "").length)));
  const lines = shown.map((row) => {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    return `${cells.join("  ").trimEnd()}\n`;
  });
  return lines.join("");
}

/** "1.5 MiB" */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "3 minutes": how long ago, in the largest unit that fits. */
export function formatAge(milliseconds: number): string {
  const units: [number, string][] = [
    [86_400_000, "day"],
    [3_600_000, "hour"],
    [60_000, "minute"],
    [1_000, "second"],
  ];
  for (const [length, name] of units) {
    const count = Math.floor(milliseconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"}`;
  }
  return "0 seconds";
}
