/** One bar per measurement, as long as its ratio to the floor, on a logarithmic scale. */
import { isReached, type Measurement, ratioOf } from "./measurement.ts";

const LABEL_WIDTH = 380;
const PLOT_WIDTH = 420;
const VALUE_WIDTH = 150;
const ROW_HEIGHT = 22;
const TOP = 56;
/** Ratios at the ends of the scale. */
const SMALLEST = 1 / 32;
const LARGEST = 32;

const x = (ratio: number) => {
  const clamped = Math.min(LARGEST, Math.max(SMALLEST, ratio));
  return LABEL_WIDTH + (PLOT_WIDTH * Math.log(clamped / SMALLEST)) / Math.log(LARGEST / SMALLEST);
};

/** @returns an SVG document that is readable on light and dark pages. */
export function plot(measurements: readonly Measurement[]): string {
  const rows = measurements.filter((measurement) => ratioOf(measurement) !== undefined);
  const height = TOP + rows.length * ROW_HEIGHT + 16;
  const width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH;
  const grid = [1 / 16, 1 / 4, 1, 4, 16].map((ratio) => {
    const label = ratio < 1 ? `1/${1 / ratio}` : `${ratio}`;
    const weight = ratio === 1 ? 2 : 1;
    return (
      `<line x1="${x(ratio)}" y1="${TOP - 8}" x2="${x(ratio)}" y2="${height - 12}" stroke="#888" stroke-width="${weight}"/>` +
      `<text x="${x(ratio)}" y="${TOP - 14}" text-anchor="middle" fill="#888">${label}</text>`
    );
  });
  const bars = rows.map((measurement, index) => bar(measurement, TOP + index * ROW_HEIGHT));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="8" y="20" font-size="14" fill="#222">Agent against its floor, measured in one run. 1 is the floor itself.</text>`,
    `<text x="8" y="38" fill="#666">Green: the goal is reached. Red: it is not. Grey: no goal. The tick is the goal.</text>`,
    ...grid,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
}

function bar(measurement: Measurement, top: number): string {
  const ratio = ratioOf(measurement) ?? 1;
  const reached = isReached(measurement);
  const color = reached === undefined ? "#9aa5b1" : reached ? "#3a9d5d" : "#c8453b";
  const [left, right] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))];
  const middle = top + ROW_HEIGHT / 2 + 4;
  const goal = goalRatio(measurement);
  const tick =
    goal === undefined
      ? ""
      : `<line x1="${x(goal)}" y1="${top + 1}" x2="${x(goal)}" y2="${top + ROW_HEIGHT - 3}" stroke="#222" stroke-width="2"/>`;
  return (
    `<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end" fill="#222">${escapeText(measurement.title)}</text>` +
    `<rect x="${left}" y="${top + 3}" width="${Math.max(1, right - left)}" height="${ROW_HEIGHT - 7}" fill="${color}"/>${tick}` +
    `<text x="${LABEL_WIDTH + PLOT_WIDTH + 8}" y="${middle}" fill="#222">${ratio.toPrecision(3)} (${escapeText(unitOf(measurement))})</text>`
  );
}

/** Where the goal lies on the scale of ratios. */
function goalRatio({ goal, floor }: Measurement): number | undefined {
  if (goal === undefined || floor === undefined) return undefined;
  return goal.on === "ratio" ? goal.limit : goal.limit / floor.value;
}

const unitOf = ({ unit, value }: Measurement) =>
  `${Number(value.toPrecision(3)).toLocaleString("en")} ${unit}`;

const escapeText = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
