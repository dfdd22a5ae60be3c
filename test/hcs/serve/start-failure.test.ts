import { copyFileSync, mkdirSync } from "node:fs";
import t, { test } from "tap";
import { TestService } from "./support.ts";

t.setTimeout(120_000);

test("a start that failed leaves a system that says why", async (t) => {
  const service = new TestService(t);
  await service.start();
  for (const [id, options, command, status, reason] of [
    ["missing", [], "/no/such", 127, /no such file|not found/],
    ["directory", [], "/etc", 126, /permission denied|directory/],
    ["user", ["-u", "nobody-here"], "true", 125, /nobody-here/],
    ["workdir", ["-w", "/bin/busybox"], "true", 125, /not a directory|workdir|cwd/i],
    ["memory", ["--memory", "64m", "--cpus", "1"], "/no/such", 127, /./],
  ] as const) {
    await service.ok("create", "--local", ...options, id, "--", command);
    const failed = await service.lcow(["start", id]);
    t.match(failed, { status, stderr: reason }, id);
    t.match(
      await service.ok("list"),
      new RegExp(`^${id} +Container +(Created|Stopped) \\(start failed\\)`, "m"),
    );
    t.match(JSON.parse(await service.ok("list", "--json")), [{ StartError: { message: reason } }]);
    t.match(await service.lcow(["wait", id]), { stderr: reason }, "wait tells it at once");
    t.match(await service.lcow(["exec", id, "echo", "first"]), {
      status: 125,
      stdout: "",
      stderr: /the command of system \w+ has not been started; its start failed: .*\[INVALID_STATE\]/,
    });
    t.match(await service.lcow(["logs", "-f", id]), { status: 0, stdout: "" });
    t.match(await service.lcow(["stop", id]), { status: 0 });
    // Attached, and once more.
    t.match(await service.lcow(["start", "-a", id]), { status, stderr: reason });
    await service.ok("rm", id);
  }
  t.equal(await service.ok("list", "-q"), "");
});

test("what was wrong is mended, and it starts; a stopped one starts anew", async (t) => {
  const service = new TestService(t);
  await service.start();
  const root = `${service.directory}/root`;
  for (const name of ["bin", "proc", "dev", "sys", "tmp", "etc"])
    mkdirSync(`${root}/${name}`, { recursive: true });
  await service.ok("create", "--local", "--root", root, "c", "--", "/bin/echo", "here");
  t.match(await service.lcow(["start", "c"]), { status: 127 });
  copyFileSync("/bin/busybox", `${root}/bin/echo`);
  t.strictSame(await service.lcow(["start", "-a", "c"]), { status: 0, stdout: "here\n", stderr: "" });
  t.strictSame(await service.lcow(["start", "-a", "c"]), { status: 0, stdout: "here\n", stderr: "" });
  t.equal(await service.ok("logs", "c"), "here\nhere\n");
  await service.ok("rm", "c");
});
