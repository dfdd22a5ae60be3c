/** The bench as its user runs it. Speed is not judged here; that it measures, and leaves nothing behind, is. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { test } from "tap";

const root = new URL("../../", import.meta.url).pathname;
const bench = (...args: string[]) =>
  promisify(execFile)(`${root}bin/node-pinned`, [`${root}bench/main.ts`, ...args]);

function benchCgroups(): string[] {
  const mount = "/sys/fs/cgroup";
  return readdirSync(mount, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => [name, ...readdirSync(`${mount}/${name}`)])
    .filter((name) => name.startsWith("gcs-bench-"));
}

test("helper processes: none for process lists, statistics and signals", { timeout: 200_000 }, async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/bench-test-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = `${directory}/out.json`;
  const { stdout } = await bench("--quick", "--only", "helpers,properties", "--json", file);
  t.match(stdout, /process list of a container/);
  const { measurements } = JSON.parse(readFileSync(file, "utf8")) as {
    measurements: { name: string; value: number; ratio?: number; reached?: boolean }[];
  };
  const of = (name: string) => measurements.find((measurement) => measurement.name === name);
  t.equal(of("helpers.create")?.value, 1);
  t.equal(of("helpers.start")?.value, 0);
  t.equal(of("helpers.delete")?.value, 0);
  t.equal(of("helpers.exec")?.value, 1);
  for (const name of ["processes", "statistics", "shutdown"]) {
    t.match(of(`helpers.${name}`), { value: 0, reached: true }, name);
  }
  t.ok((of("properties.processes")?.ratio ?? 0) > 0, "paired with its floor");
  t.same(benchCgroups(), [], "no cgroup is left");
});

test("a benchmark that is not there is an error that names those that are", async (t) => {
  await t.rejects(bench("--only", "nonesuch"), {
    code: 1,
    stderr: /no benchmark is named nonesuch; there are start,/,
  });
  t.match((await bench("--help")).stdout, /--only NAME,\.\.\. +some benchmarks only: start, life/);
});
