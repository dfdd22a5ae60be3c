import tap, { test } from "tap";
import { LCOW, Lcow, OnTerminal } from "./lcow.ts";

tap.setTimeout(240_000);

const SIZE = { cols: 101, rows: 33 };

test("-t gives a terminal of the caller's size, which follows it; the status is the command's", async (t) => {
  const script = "trap 'stty size; exit 6' WINCH; tty; stty size; while :; do sleep 0.05; done";
  const screen = new OnTerminal(t, LCOW, ["run", "--local", "-t", "--", "/bin/sh", "-c", script], SIZE);
  await screen.shows("33 101");
  t.match(screen.text, /\/dev\/(pts\/0|console)/);
  screen.pty.resize(120, 50);
  await screen.shows("50 120");
  t.equal(await screen.end(), 6);
});

test("keys arrive one by one, Ctrl-C as a key; the screen gets the container's bytes as they are", async (t) => {
  const script = 'stty raw -echo; echo ready; dd bs=1 count=3 2>/dev/null | od -An -tx1; printf "end\\n"';
  const screen = new OnTerminal(t, LCOW, ["run", "--local", "-it", "--", "/bin/sh", "-c", script], SIZE);
  await screen.shows("ready");
  screen.pty.write("\x03\x04\r");
  t.equal(await screen.end(), 0);
  t.equal(screen.text, "ready\n 03 04 0d\nend\n");
});

test("Ctrl-C ends a command on its terminal as anywhere", async (t) => {
  const script = 'trap "echo interrupted; exit 4" INT; echo ready; while :; do sleep 0.05; done';
  const screen = new OnTerminal(t, LCOW, ["run", "--local", "-it", "--", "/bin/sh", "-c", script], SIZE);
  await screen.shows("ready");
  screen.pty.write("\x03");
  t.equal(await screen.end(), 4);
  t.match(screen.text, /interrupted/);
});

test("the caller's terminal is as before: after the end, a failure, a signal", async (t) => {
  const runs = [
    `${LCOW} run --local -it -- /bin/true`,
    `${LCOW} run --local -it -- /bin/nonesuch`,
    `${LCOW} run --local -it -- /bin/sh -c 'echo ready; while :; do sleep 0.05; done' & sleep 2; kill -TERM $!; kill -INT $!; kill -INT $!; wait $!`,
  ];
  // In the background a process may not change the terminal (SIGTTOU), so the last one is without job control.
  for (const command of runs) {
    const script = `stty -g >/tmp/lcow-before-$$; ${command}; stty -g | cmp - /tmp/lcow-before-$$ && echo same; rm /tmp/lcow-before-$$`;
    const screen = new OnTerminal(t, "/bin/sh", ["-c", script], SIZE);
    await screen.end();
    t.match(screen.text, /same/, command);
  }
});

test("-t without a terminal still gives the command one", async (t) => {
  const running = new Lcow(t, ["run", "--local", "-t", "--", "/bin/sh", "-c", "tty; exit 3"]);
  const { status, stdout, stderr } = await running.result();
  t.equal(status, 3);
  t.equal(stderr, "");
  t.match(stdout, /^\/dev\/(pts\/0|console)\r\n$/);
});

test("-it with standard input that is no terminal is refused at once, before anything is made", async (t) => {
  // Neither a service nor an image is needed to know it.
  const nowhere = { env: { LCOW_STATE_DIRECTORY: "/proc/none" } };
  for (const words of [
    ["run", "--local", "-it", "--", "/bin/cat"],
    ["run", "-i", "--tty", "--kernel", import.meta.filename, "--", "/bin/cat"],
    ["exec", "-it", "name", "/bin/cat"],
    ["start", "-ait", "name"],
  ]) {
    // Nothing comes, and no end.
    const running = new Lcow(t, words, nowhere);
    t.match(
      await running.result(),
      { status: 125, stdout: "", stderr: /^lcow: the input device is not a TTY[^\n]*\[NOT_A_TERMINAL\]\n$/ },
      words.join(" "),
    );
  }
});
