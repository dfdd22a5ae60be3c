import { test } from "tap";
import { parseArguments } from "../../bench/arguments.ts";
import {
  atLeast,
  atMost,
  isReached,
  type Measurement,
  ratioAtLeast,
  ratioAtMost,
} from "../../bench/measurement.ts";
import { plot } from "../../bench/plot.ts";
import { toJson, toMarkdown, toText } from "../../bench/report.ts";
import { interleave, median, percentile } from "../../bench/statistics.ts";

const line: Measurement = {
  name: "life.median",
  title: "life",
  unit: "ms",
  value: 30,
  floor: { what: "`runc run` & <nothing>", value: 20 },
};

test("medians and percentiles interpolate, and take samples in any order", (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.equal(percentile([10, 20], 0.95), 19.5);
  t.ok(Number.isNaN(median([])));
  t.end();
});

test("sides are measured in turns, each round begins with another, and warm-ups do not count", async (t) => {
  const order: string[] = [];
  const side = (name: string) => async () => order.push(name);
  const samples = await interleave({ count: 2, warmUp: 1 }, { a: side("a"), b: side("b") });
  t.same(order, ["a", "b", "b", "a", "a", "b"]);
  t.same(samples, { a: [4, 5], b: [3, 6] });
});

test("goals are kept by the value or by the ratio, up to the limit itself", (t) => {
  t.equal(isReached(line), undefined);
  for (const [goal, reached] of [
    [atMost(30), true],
    [atMost(29.9), false],
    [atLeast(30), true],
    [atLeast(31), false],
    [ratioAtMost(1.5), true],
    [ratioAtMost(1.4), false],
    [ratioAtLeast(1.5), true],
    [ratioAtLeast(1.6), false],
  ] as const) {
    t.equal(isReached({ ...line, goal }), reached, JSON.stringify(goal));
  }
  const { floor: _, ...withoutFloor } = line;
  t.equal(isReached({ ...withoutFloor, goal: ratioAtMost(1) }), false, "no floor, no ratio, no goal reached");
  t.end();
});

test("the table shows value, floor, ratio, goal and verdict, and no empty columns", (t) => {
  const report = { date: "2026-01-01", quick: false, machine: {}, measurements: [line] };
  t.equal(
    toMarkdown(report),
    "| what | agent | floor | ratio | floor is |\n| --- | ---: | ---: | ---: | --- |\n" +
      "| life | 30 ms | 20 ms | 1.5 | `runc run` & <nothing> |\n",
  );
  const missed = { ...report, measurements: [{ ...line, value: 123_456.7, goal: ratioAtMost(1.45) }] };
  t.match(toText(missed), /life {2}123 457 ms {2}20 ms {2}6 173 {2}ratio at most 1\.45 {2}NO /);
  t.match(JSON.parse(toJson(missed)), { measurements: [{ name: "life.median", reached: false }] });
  t.end();
});

test("the plot is well-formed, escapes text, and shows what is reached by colour", (t) => {
  const reached = { ...line, title: "a <b> & c", goal: ratioAtMost(2) };
  const svg = plot([reached, { ...line, goal: ratioAtMost(1) }, line]);
  t.match(svg, "a &lt;b> &amp; c");
  t.notMatch(svg, "<b>");
  for (const color of ["#3a9d5d", "#c8453b", "#9aa5b1"]) t.match(svg, color);
  t.equal(svg.match(/<text/g)?.length, svg.match(/<\/text>/g)?.length);
  const { floor: _, ...withoutFloor } = line;
  t.notMatch(plot([{ ...withoutFloor, title: "unpaired" }]), "unpaired");
  t.end();
});

test("arguments: benchmarks that are not there are named", (t) => {
  t.match(parseArguments(["--quick", "--only", "a"], ["a", "b"]), { quick: true, only: ["a"], uvm: false });
  t.equal(parseArguments(["-h"], []), "help");
  t.throws(() => parseArguments(["--only", "a,x"], ["a", "b"]), /named x; there are a, b/);
  t.throws(() => parseArguments(["--fast"], []), /--fast/);
  t.end();
});
