/** The results for people and for machines. */
import { execFileSync } from "node:child_process";
import { cpus, release } from "node:os";
import { type Goal, isReached, type Measurement, ratioOf } from "./measurement.ts";

export interface Report {
  readonly date: string;
  readonly quick: boolean;
  readonly machine: Readonly<Record<string, string>>;
  readonly measurements: readonly Measurement[];
}

export function describeMachine(): Record<string, string> {
  const version = (program: string) =>
    execFileSync(program, ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "";
  const [processor] = cpus();
  return {
    processor: `${cpus().length} x ${processor?.model ?? "unknown"}`,
    kernel: release(),
    node: process.version,
    runc: version("runc"),
    crun: version("crun"),
  };
}

/** For machines: every measurement with its ratio and verdict. */
export function toJson(report: Report): string {
  const measurements = report.measurements.map((measurement) => ({
    ...measurement,
    ratio: ratioOf(measurement),
    reached: isReached(measurement),
  }));
  return `${JSON.stringify({ ...report, measurements }, undefined, 2)}\n`;
}

const columns = ["what", "agent", "floor", "ratio", "goal", "reached", "floor is"] as const;

function cells(measurement: Measurement): string[] {
  const { title, unit, value, floor, goal } = measurement;
  const ratio = ratioOf(measurement);
  const reached = isReached(measurement);
  return [
    title,
    `${number(value)} ${unit}`,
    floor === undefined ? "" : `${number(floor.value)} ${unit}`,
    ratio === undefined ? "" : number(ratio),
    goal === undefined ? "" : describeGoal(goal, unit),
    reached === undefined ? "" : reached ? "yes" : "NO",
    floor?.what ?? "",
  ];
}

/** Head and rows, without the columns in which no row has anything. */
function tableOf({ measurements }: Report): { readonly rows: string[][]; readonly isNumeric: boolean[] } {
  const rows = measurements.map(cells);
  const kept = columns.map((_, column) => rows.some((row) => row[column] !== ""));
  const keep = <Value>(values: readonly Value[]) => values.filter((_, column) => kept[column]);
  const isNumeric = keep(columns.map((_, column) => column >= 1 && column <= 3));
  return { rows: [columns, ...rows].map((row) => keep<string>(row)), isNumeric };
}

export function toText(report: Report): string {
  const { rows, isNumeric } = tableOf(report);
  const widths = isNumeric.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        isNumeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

export function toMarkdown(report: Report): string {
  const { rows, isNumeric } = tableOf(report);
  const line = (texts: readonly string[]) => `| ${texts.join(" | ")} |`;
  const [head = [], ...body] = rows;
  const alignment = isNumeric.map((numeric) => (numeric ? "---:" : "---"));
  return `${[head, alignment, ...body].map(line).join("\n")}\n`;
}

function describeGoal({ on, limit, direction }: Goal, unit: string): string {
  return on === "value"
    ? `${direction} ${number(limit)}${unit === "count" ? "" : ` ${unit}`}`
    : `ratio ${direction} ${number(limit)}`;
}

/** Three significant digits, and no decimals from 100 on. */
function number(value: number): string {
  if (!Number.isFinite(value)) return "?";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return String(Number(value.toPrecision(3)));
}
