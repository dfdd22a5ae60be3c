/** Puts the results into docs/performance.md, between two marks, and the plot beside it. */
import { readFileSync, writeFileSync } from "node:fs";
import { plot } from "./plot.ts";
import { type Report, toMarkdown } from "./report.ts";

const directory = `${import.meta.dirname}/../docs`;

/** @param name of the marks: "bench" or "bench --uvm". */
export function updateDocs(report: Report, name: "bench" | "bench --uvm"): void {
  const path = `${directory}/performance.md`;
  const text = readFileSync(path, "utf8");
  const begin = `<!-- begin: ${name} -->`;
  const end = `<!-- end: ${name} -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} lacks the marks ${begin} and ${end}`);
  const machine = Object.entries(report.machine).map(([what, value]) => `${what} ${value}`);
  const heading = `Measured on ${report.date.slice(0, 10)}${report.quick ? " (--quick)" : ""}: ${machine.join(", ")}.`;
  const table = `${begin}\n\n${heading}\n\n${toMarkdown(report)}\n${end}`;
  writeFileSync(path, text.slice(0, from) + table + text.slice(to + end.length));
  if (name === "bench") writeFileSync(`${directory}/performance.svg`, plot(report.measurements));
}
