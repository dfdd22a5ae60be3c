import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { promisify } from "node:util";
import { test } from "tap";

const programs = new URL("programs/", import.meta.url).pathname;
const image = new URL("../../out/image.json", import.meta.url).pathname;
/** A program that does not end fails by this. */
const TIMEOUT_MS = 120_000;

async function run(name: string, ...parameters: string[]) {
  return await promisify(execFile)(process.execPath, [`${programs}${name}.ts`, ...parameters], {
    timeout: TIMEOUT_MS,
  }).catch((error: { stdout: string; stderr: string; signal: string | null }) => error);
}

/** Every value in it, however deep. */
function* valuesIn(value: unknown): Generator<unknown> {
  if (typeof value !== "object" || value === null) yield value;
  else for (const member of Object.values(value)) yield* valuesIn(member);
}

for (const driver of ["local", "vm"]) {
  test(`a program whose handles are closed ends, and its systems with it: ${driver}`, async (t) => {
    const result = await run("handles", driver);
    t.notOk("signal" in result, `it ended by itself: ${result.stderr}`);
    const [first = "", second = ""] = result.stdout.split("\n");
    const told = JSON.parse(first);
    t.match(JSON.parse(second), { again: "Running" }, "the container had not been ended by its last handle");

    // In a VM it is the image's kernel, without one this machine's: a document with VirtualMachine is a VM.
    const { kernelRelease } = JSON.parse(readFileSync(image, "utf8"));
    t.equal(told.kernel, driver === "vm" ? kernelRelease : release());

    t.ok(told.children.length > 0, "an agent or QEMU ran");
    for (const pid of told.children) t.notOk(existsSync(`/proc/${pid}`), `child ${pid} is gone`);
    if (driver === "local") {
      const [{ ProcessId: init }] = told.v1.ProcessList;
      t.notOk(existsSync(`/proc/${init}`), "and so is the container's first process");
    }

    // JSON.stringify() went through; and it rounded nothing.
    const values = [...valuesIn(told)];
    t.notOk(values.some((value) => typeof value === "number" && !Number.isSafeInteger(value)));
    const { limit } = told.v2.LCOWMetrics.memory.usage;
    t.match(limit, /^(9223372036854771712|18446744073709551615)$/, "no limit, as the kernel says it");
    t.type(limit, "string");
    t.ok(told.v2.LCOWMetrics.pids.current > 0, "small ones are numbers");
    t.ok(told.v1.Statistics.Memory.MemoryUsageCommitBytes > 0);
  });
}

test("an error that nobody catches prints once, with the guest's words and none of its stack", async (t) => {
  const { stdout, stderr } = await run("uncaught");
  t.equal(stdout, "");
  t.match(stderr, /SystemError: hcs::System::CreateProcess c: the guest refused/);
  t.equal(stderr.match(/the guest refused/g)?.length, 1, stderr);
  t.match(stderr, "/no/such/program");
  t.match(stderr, /at async .*uncaught\.ts/, "where in the program it was");
  t.notMatch(stderr, /src\/gcs|src\/runtime|gcs\.mjs/, "no line of the agent's");
});
