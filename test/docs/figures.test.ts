import { readFileSync } from "node:fs";
import { test } from "tap";
import { documents, root } from "./markdown.ts";

const MIB = 1024 * 1024;

interface Figure {
  /** As it stands in a document, and what it is in the unit of the source. */
  readonly says: string;
  readonly value: number;
  /** Where it comes from: what stands behind the name there, products of numbers included. */
  readonly source: string;
  readonly name: string;
}

const disk = "src/hcs/uvm/qemu/disk-roots.ts";
const limits = "src/hcs/serve/limits.ts";
const drain = "src/stdio/drain.ts";
const init = (file: string) => `native/init/${file}`;
const FIGURES: readonly Figure[] = [
  { says: "sign of life every 2 seconds", value: 2000, source: limits, name: "heartbeatMs" },
  { says: "has come from it for 10 seconds", value: 10_000, source: limits, name: "guestSilenceMs" },
  { says: "is asked for 2 seconds", value: 2000, source: limits, name: "forceMs" },
  { says: "not answer within 3 seconds", value: 3000, source: limits, name: "keeperListMs" },
  { says: "a sparse disk of 16 GiB", value: 16 * 2 ** 30, source: disk, name: "SCRATCH_BYTES" },
  { says: "8 GiB at most", value: 8 * 2 ** 30, source: "src/common/cache/cache.ts", name: "DEFAULT_BYTES" },
  {
    says: "frames of at most 4 MiB",
    value: 4 * MIB,
    source: "src/protocol/frame.ts",
    name: "MAXIMUM_SIZE_FROM_HOST",
  },
  {
    says: "4 194 304 (4 MiB)",
    value: 4 * MIB,
    source: "src/protocol/frame.ts",
    name: "MAXIMUM_SIZE_FROM_HOST",
  },
  {
    says: "67 108 864 (64 MiB)",
    value: 64 * MIB,
    source: "src/protocol/frame.ts",
    name: "MAXIMUM_SKIPPED_SIZE",
  },
  {
    says: "65 536 (64 KiB)",
    value: 65_536,
    source: "src/protocol/frame.ts",
    name: "MAXIMUM_SIZE_FROM_GUEST",
  },
  { says: "is asked, for 30 s", value: 30_000, source: "src/network/dhcp.ts", name: "DEADLINE_MS" },
  { says: "own notices, for 5 s", value: 5000, source: "src/network/interfaces.ts", name: "DEADLINE_MS" },
  {
    says: "after 3 s in any case",
    value: 3000,
    source: "src/gcs/bridge/session.ts",
    name: "NOTIFICATION_HOLD_MS",
  },
  { says: "WaitForProcess for it, 50 ms", value: 50, source: "test/gcs/reconnect.test.ts", name: "PROBE_MS" },
  { says: "in order, within 20 s", value: 20_000, source: "src/gcs/main.ts", name: "DEFECT_END_MS" },
  { says: "500 ms without bytes", value: 500, source: drain, name: "drainIdleMs" },
  { says: "5 s without progress", value: 5000, source: drain, name: "drainStallMs" },
  { says: "at most 5 s for the host to close", value: 5000, source: drain, name: "hostCloseMs" },
  {
    says: "given up after 30 s",
    value: 30_000,
    source: "native/hvsock/process.ts",
    name: "defaultSpawnTimeoutMs",
  },
  {
    says: "looked twice, 50 ms apart",
    value: 50,
    source: "native/hvsock/src/lead_threads.cc",
    name: "kLookMs",
  },
  { says: "is waited for (10 s)", value: 10_000, source: init("root.c"), name: "DEVICE_MS" },
  { says: "(after 10 s as any", value: 10, source: init("harden.c"), name: "PATIENCE_SECONDS" },
  { says: "(2 s at most)", value: 2000, source: init("entropy.c"), name: "DEADLINE_MS" },
  { says: "reached within 2 s", value: 2000, source: init("vsockexec.c"), name: "DIAL_MS" },
  { says: "until the host closes, 1 s at most", value: 1000, source: init("relay.c"), name: "LINGER_MS" },
  { says: "half a second,", value: 500, source: init("shutdown.c"), name: "TERM_MS" },
  { says: "forwarder 2 s more", value: 2000, source: init("shutdown.c"), name: "DELIVER_MS" },
  { says: "The disks, which get 10 s", value: 10_000, source: init("shutdown.c"), name: "SYNC_MS" },
  { says: "SIGKILL 10 s", value: 10_000, source: init("reap.c"), name: "GRACE_MS" },
  { says: "(0.1 s to 5 s apart)", value: 100, source: init("relay.c"), name: "BACK_OFF_LEAST_MS" },
  { says: "(0.1 s to 5 s apart)", value: 5000, source: init("relay.c"), name: "BACK_OFF_MOST_MS" },
  { says: "keeps 1 MiB", value: MIB, source: init("line-buffer.h"), name: "LINE_BUFFER_BYTES" },
  { says: "5 s apart", value: 5000, source: "src/hcs/transport/forwarder/heartbeat.ts", name: "INTERVAL_MS" },
  { says: "64 KiB sent", value: 65_536, source: "src/hcs/transport/forwarder/mux.ts", name: "unread" },
  { says: "256 KiB sent", value: 262_144, source: "src/hcs/transport/forwarder/mux.ts", name: "read" },
  {
    says: "256 KiB wait",
    value: 262_144,
    source: "src/hcs/transport/forwarder/mux.ts",
    name: "MAX_WAITING_BYTES",
  },
  { says: "the last 4 KiB", value: 4096, source: "src/hcs/uvm/agent-output.ts", name: "KEPT" },
  {
    says: "the console's last 16 KiB",
    value: 16_384,
    source: "src/hcs/uvm/qemu/console-tail.ts",
    name: "TAIL_BYTES",
  },
  { says: "a line of 4 MiB", value: 4 * MIB, source: "src/hcs/uvm/qemu/qmp.ts", name: "MAX_LINE" },
  { says: "at most 4 KiB", value: 4096, source: "src/linux/proc.ts", name: "LONGEST_COMMAND_LINE" },
  {
    says: "30 000 ms later",
    value: 30_000,
    source: "src/hcs/compute/kinds/v1-kind.ts",
    name: "FINISH_TIMEOUT_MS",
  },
  {
    says: "a multiple of 2 MiB",
    value: 2 * MIB,
    source: "src/hcs/compute/drivers/qemu-driver.ts",
    name: "PERSISTENT_MEMORY_STEP",
  },
  {
    says: "two files of at most 16 MiB",
    value: 16 * MIB,
    source: "src/hcs/serve/process-log.ts",
    name: "LARGEST_FILE",
  },
  {
    says: "than 1 MiB none is read",
    value: MIB,
    source: "src/linux/root-file.ts",
    name: "MAXIMUM_FILE_SIZE",
  },
];

/** A number with a unit that a source or a measurement has to answer for. */
const WITH_UNIT = /\d[\d ]*(?:\.\d+)? ?(?:ms|s|MB|MiB|KiB|GB|GiB|seconds?|minutes?)\b/g;
/** The one page of measurements: each of its figures stands under the date and machine of its run. */
const MEASURED = "docs/performance.md";

test("each figure of a document is its source's", async (t) => {
  const everything = documents.map(({ text }) => text.replaceAll(/\s+/g, " ")).join("\n");
  for (const { says, value, source, name } of FIGURES) {
    t.ok(everything.includes(says), `${says} is said`);
    const text = readFileSync(`${root}${source}`, "utf8");
    const [, product = ""] = new RegExp(`\\b${name}\\s*[=:]\\s*(\\d[\\d_* ]*)`).exec(text) ?? [];
    const factors = product.split(/(?<!\*)\*(?!\*)/).map((factor) => {
      const [base = 0, exponent = 1] = factor.replaceAll("_", "").split("**").map(Number);
      return base ** exponent;
    });
    t.equal(
      factors.reduce((all, factor) => all * factor, 1),
      value,
      `${says}: ${name} in ${source}`,
    );
  }
});

test("no document has a figure that nothing answers for", async (t) => {
  for (const { file, prose } of documents) {
    if (file === MEASURED || file === "CHANGELOG.md") continue;
    let left = prose.replaceAll(/\s+/g, " ");
    for (const { says } of FIGURES) left = left.replaceAll(says, "");
    for (const says of IMAGE_SIZES) left = left.replaceAll(says, "");
    t.strictSame(left.match(WITH_UNIT) ?? [], [], file);
  }
});

/** Held against the image that was built, and by test/package/ against its package. */
const IMAGE_SIZES = ["under 48 MB", "under 60 MB"];

test("the image is as small as README says", async (t) => {
  const { sizes } = JSON.parse(readFileSync(`${root}out/image.json`, "utf8"));
  t.ok(sizes["initrd.img"] < 48e6, `${sizes["initrd.img"]} bytes`);
});

test("the page of measurements says when and on what each table was measured", async (t) => {
  const text = readFileSync(`${root}${MEASURED}`, "utf8");
  const tables = text.split("<!-- begin: ").slice(1);
  t.equal(tables.length, 2);
  for (const part of tables) {
    const [inside = ""] = part.split("<!-- end");
    t.match(inside, /Measured on \d{4}-\d\d-\d\d: processor .+, kernel .+, node v26/);
    // A ratio is what stands in the columns before it, divided.
    for (const [row, agent = "", floor = "", ratio = ""] of inside.matchAll(
      /^\|[^|]*\| ([\d. ]+) [a-zA-Z]\S*[^|]*\| ([\d. ]+) [a-zA-Z]\S*[^|]*\| ([\d.]+) \|/gm,
    )) {
      const quotient = Number(agent.replaceAll(" ", "")) / Number(floor.replaceAll(" ", ""));
      t.ok(Math.abs(quotient - Number(ratio)) <= 0.01 * quotient + 0.005, row);
    }
  }
});
