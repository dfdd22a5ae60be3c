/** How a start in a virtual machine is shown: a line that moves on a terminal, and nothing in a pipe. */
import tap, { type Test, test } from "tap";
import { buildImage } from "../../src/cli/image.ts";
import { TestService } from "../hcs/serve/support.ts";
import { LCOW, lcow, OnTerminal } from "./lcow.ts";

/** Emulated, a boot takes seconds, and beside other tests many. */
const TIMEOUT_MS = 180_000;
tap.setTimeout(2 * TIMEOUT_MS);
const options = { timeout: TIMEOUT_MS };

if ((await buildImage()) !== 0) throw new Error("the image could not be built");

const STAGES = /starting the kernel[\s\S]*agent starts[\s\S]*making the container/;
const ERASE = "\r\x1b[K";

/** What was shown one after the other on the line. */
function frames(text: string): string[] {
  return [...text.matchAll(/\rlcow: ([^\r\x1b]*)\x1b\[K/g)].map(([, shown = ""]) => shown);
}

/** The line moved, told where it was, was taken away before anything else came, and nothing cleared the screen. */
function checkLine(t: Test, text: string, stages = STAGES): void {
  const shown = frames(text);
  t.ok(shown.length >= 10, `${shown.length} frames`);
  const seconds = shown.map((frame) => Number.parseFloat(frame));
  t.same(
    seconds,
    seconds.toSorted((one, other) => one - other),
    "time goes on",
  );
  t.ok(new Set(seconds).size >= 10, "it ticks within a stage");
  t.match(shown.join("\n"), stages);
  t.notMatch(text, /\x1b\[2J|\x1b\[H|\x1bc/);
  t.equal(text.lastIndexOf("lcow: ") < text.lastIndexOf(ERASE), true, "at the end it is away");
}

test("run: the line moves, and is away before the command writes", options, async (t) => {
  const screen = new OnTerminal(t, LCOW, ["run", "--", "/bin/echo", "hello"], { cols: 90, rows: 30 });
  t.equal(await screen.end(), 0, screen.text);
  checkLine(t, screen.text);
  t.ok(screen.text.endsWith(`${ERASE}hello\r\n`), JSON.stringify(screen.text.slice(-60)));
});

test("boot: the line moves, and is away before the machine's shell writes", options, async (t) => {
  const screen = new OnTerminal(t, LCOW, ["boot", "--", "/bin/echo", "hello"], { cols: 90, rows: 30 });
  t.equal(await screen.end(), 0, screen.text);
  checkLine(t, screen.text, /starting the kernel[\s\S]*agent starts[\s\S]*starting the command/);
  t.notMatch(screen.text, /container/);
  t.ok(screen.text.endsWith(`${ERASE}hello\r\n`), JSON.stringify(screen.text.slice(-60)));
  const piped = await lcow(t, ["boot", "--", "/bin/echo", "hello"]);
  t.match(piped, { status: 0, stdout: "hello\n", stderr: /^$/ });
});

test("start: stages come from who keeps the machine; in a pipe there is nothing", options, async (t) => {
  const service = new TestService(t);
  await service.start();
  const environment = { LCOW_STATE_DIRECTORY: service.directory };
  for (const name of ["shown", "piped"])
    await service.ok("create", "--accelerator", "tcg", name, "--", "/bin/sleep", "1000");
  const before = { ...process.env };
  Object.assign(process.env, environment);
  t.teardown(() => void Object.assign(process.env, { LCOW_STATE_DIRECTORY: before.LCOW_STATE_DIRECTORY }));
  const screen = new OnTerminal(t, LCOW, ["start", "shown"], { cols: 90, rows: 30 });
  t.equal(await screen.end(), 0, screen.text);
  checkLine(t, screen.text);
  t.ok(screen.text.endsWith(`${ERASE}shown\r\n`), JSON.stringify(screen.text.slice(-60)));
  t.match(await lcow(t, ["start", "piped"], { env: environment }), {
    status: 0,
    stdout: "piped\n",
    stderr: /^$/,
  });
});
