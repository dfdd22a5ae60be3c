/** `lcow diagnose`: what is in the archive, that no secret is, and what a guest or keeper that hangs costs. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test, test } from "tap";
import { Scrubber } from "../../src/cli/diagnose/scrubber.ts";
import { readTail } from "../../src/cli/diagnose/sources.ts";
import { makeTar } from "../../src/cli/diagnose/tar.ts";
import { KnownSecrets } from "../../src/hcs/serve/known-secrets.ts";
import { TestService } from "../hcs/serve/support.ts";

t.setTimeout(300_000);

function temporary(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "lcow-diagnose-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** What tar makes of it. */
function unpack(t: Test, archive: string): Record<string, string> {
  const directory = temporary(t);
  execFileSync("tar", ["-xzf", archive, "-C", directory]);
  const files = readdirSync(join(directory, "lcow-diagnose"));
  return Object.fromEntries(
    files.map((name) => [name, readFileSync(join(directory, "lcow-diagnose", name), "utf8")]),
  );
}

/** Process id of the agent that a keeper of the service has. */
function agentOf(service: TestService): number {
  const [record] = globSync(`${service.directory}/k/*/keeper.json`).map((file) =>
    JSON.parse(readFileSync(file, "utf8")),
  );
  return record.agents[0].pid;
}

const SECRETS = {
  option: "opensesame-1",
  file: "from a file, with blanks",
  exec: "only-for-exec",
  argument: "--token=s3cr3t-token",
  part: "s3cr3t-token",
  multiline: "first line of key",
} as const;

async function running(t: Test) {
  const service = new TestService(t);
  await service.start();
  const directory = temporary(t);
  writeFileSync(`${directory}/env`, `FROM_FILE=${SECRETS.file}\n# none\n`);
  await service.ok(
    ...["run", "-d", "--local", "--name", "c", "--loglevel", "trace"],
    ...["-e", `PASSWORD=${SECRETS.option}`, "--env-file", `${directory}/env`],
    ...["-e", `KEY=${SECRETS.multiline}\nsecond one of it`],
    ...["--", "sh", "-c", 'echo "out $PASSWORD"; echo "err" >&2; sleep 1000', SECRETS.argument],
  );
  return { service, directory };
}

test("no secret is in the archive, wherever it has been; the rest is", async (t) => {
  const { service, directory } = await running(t);
  await service.ok("exec", "-e", `ONCE=${SECRETS.exec}`, "c", "true");
  // What fails tells of what was asked for, in the agent's log too.
  await service.lcow(["exec", "-e", `ONCE=${SECRETS.exec}`, "c", `/${SECRETS.exec}`]);
  const [keeper = ""] = globSync(`${service.directory}/k/*/keeper.log`);
  writeFileSync(keeper, `said ${SECRETS.option} and ${JSON.stringify({ a: `x\n${SECRETS.file}` })}\n`, {
    flag: "a",
  });

  const file = join(directory, "it.tar.gz");
  t.equal(await service.ok("diagnose", "c", "-o", file), `${file}\n`);
  t.equal(statSync(file).mode & 0o777, 0o600);
  const parts = unpack(t, file);
  for (const [name, text] of Object.entries(parts))
    for (const [what, secret] of Object.entries(SECRETS))
      t.notOk(text.includes(secret), `${what} in ${name}`);
  t.same(Object.keys(parts).sort(), [
    ...[
      "README.txt",
      "agent.log",
      "doctor.txt",
      "inspect.json",
      "keeper.log",
      "record.json",
      "settings.json",
    ],
    ...["stacks.txt", "versions.json"],
  ]);

  const { "README.txt": readme = "", "settings.json": settings = "", "inspect.json": inspected = "" } = parts;
  t.match(
    readme,
    /Not in here:\n +console.log .*no virtual machine.*\n +stdout.log .*--with-output.*\n +stderr.log/,
  );
  t.match(JSON.parse(settings), {
    init: {
      CommandArgs: ["sh", "<scrubbed>", "<scrubbed>", "<scrubbed>"],
      Environment: { PASSWORD: "<scrubbed>" },
    },
    machine: { driver: "local", logLevel: "trace" },
  });
  t.match(JSON.parse(inspected), { Id: "c", State: "Running", Command: "sh <scrubbed>" });
  t.match(JSON.parse(parts["record.json"] ?? ""), { systems: [{ Id: "c", Command: "sh <scrubbed>" }] });
  t.match(JSON.parse(parts["versions.json"] ?? ""), { node: process.version, programs: { runc: /runc/ } });
  t.match(parts["keeper.log"], 'said <scrubbed> and {"a":"x\\n<scrubbed>"}');
  t.match(parts["keeper.log"], /GCS started/);
  t.match(parts["stacks.txt"], /\S/);
  t.match(parts["doctor.txt"], /QEMU/);

  const whole = await service.shell(`lcow diagnose c --with-output -o - > ${directory}/out.tgz`);
  t.match(whole, { status: 0, stderr: "" });
  const more = unpack(t, `${directory}/out.tgz`);
  t.match(more, { "stdout.log": "out <scrubbed>\n", "stderr.log": "err\n" });
});

test("names of archives: its own, one that is there, one that cannot be made", async (t) => {
  const { service, directory } = await running(t);
  const made = await service.shell(`cd ${directory} && lcow diagnose c`);
  t.match(made, { status: 0, stdout: new RegExp(`^${directory}/lcow-diagnose-c-\\d{8}T\\d{6}Z.tar.gz\n$`) });
  const taken = join(directory, "env");
  const before = readFileSync(taken);
  t.match(await service.lcow(["diagnose", "c", "-o", taken]), {
    status: 125,
    stderr: /is there already.*-o/,
  });
  t.same(readFileSync(taken), before);
  t.match(await service.lcow(["diagnose", "c", "-o", "/proc/none/x"]), {
    status: 125,
    stderr: /cannot be made/,
  });
  t.match(await service.lcow(["diagnose", "c", "-o="]), { status: 2, stderr: /it is empty/ });
});

test("a system that there is not, and no service", async (t) => {
  const service = new TestService(t);
  const directory = temporary(t);
  const absent = ["diagnose", "nobody", "-o", join(directory, "x")];
  t.match(await service.lcow(absent), { status: 125, stderr: /lcow serve.*\[DIAL_FAILED\]/ });
  await service.start();
  t.match(await service.lcow(absent), { status: 125, stderr: /nobody does not exist.*\[SYSTEM_NOT_FOUND\]/ });
  t.notOk(existsSync(join(directory, "x")));
});

test("an agent that is stopped, a service that is gone, a keeper that is stopped: an archive all the same", async (t) => {
  const { service, directory } = await running(t);
  const diagnose = async (name: string) => {
    await service.ok("diagnose", "c", "-o", join(directory, name));
    return unpack(t, join(directory, name));
  };
  const isFree = (parts: Record<string, string>, what: string) => {
    for (const secret of Object.values(SECRETS))
      t.notOk(
        Object.values(parts).some((text) => text.includes(secret)),
        `${secret}: ${what}`,
      );
  };
  const agent = agentOf(service);
  process.kill(agent, "SIGSTOP");
  const stopped = await diagnose("agent");
  t.match(stopped["README.txt"], /\n +stacks.txt .*(longer than|not answered|no reply|within)/);
  t.match(stopped["keeper.log"], /GCS started/);
  isFree(stopped, "agent");
  process.kill(agent, "SIGCONT");

  await service.stop();
  const alone = await diagnose("alone");
  t.match(JSON.parse(alone["inspect.json"] ?? ""), { Id: "c" });
  isFree(alone, "no service");
  await service.start();

  const [keeper = 0] = service.keepers();
  process.kill(keeper, "SIGSTOP");
  try {
    const silent = await diagnose("keeper");
    t.same(Object.keys(silent).sort(), ["README.txt", "doctor.txt", "record.json", "versions.json"]);
    t.match(silent["README.txt"], /keeper.log .*left out, since it cannot be known which secrets/);
    isFree(silent, "keeper");
  } finally {
    process.kill(keeper, "SIGCONT");
  }
});

test("values of secrets: what is known, what is shown", (t) => {
  const known = new KnownSecrets();
  known.note({
    a: [{ Environment: { A: "value-a", B: "abc" }, CommandLine: "prog --x=yyyy" }],
    Owner: "somebody",
  });
  known.note({
    OCISpecification: {
      process: { env: ["P=/some/path"], args: ["/bin/x", "word"] },
      annotations: { k: "note" },
    },
  });
  t.same(known.all, ["value-a", "--x=yyyy", "yyyy", "P=/some/path", "/some/path", "word", "note"]);
  known.note({ env: ["x".repeat(5 * 1024 * 1024)] });
  t.equal(known.all, undefined, "too many to know");

  const scrubber = new Scrubber(["long-secret", "secret", 'quo"ted\nline', "1234"]);
  t.equal(scrubber.text('a long-secret, secrets, quo\\"ted\\nline'), "a <scrubbed>, <scrubbed>s, <scrubbed>");
  t.same(
    scrubber.value({
      n: 12345,
      m: 7,
      big: 991234n,
      b: true,
      list: ["secret"],
      labels: { x: 1 },
      env: ["A=b"],
    }),
    {
      ...{ n: "<scrubbed>", m: 7, big: "<scrubbed>", b: true, list: ["<scrubbed>"] },
      ...{ labels: { x: "<scrubbed>" }, env: ["A=<scrubbed>"] },
    },
  );
  t.equal(new Scrubber([]).text("as it is"), "as it is");
  const listed = new Scrubber([]).value({ Labels: ["a=b", "c"], args: ["sh", "x"], CommandLine: "sh x" });
  t.same(listed, {
    Labels: ["<scrubbed>", "<scrubbed>"],
    args: ["sh", "<scrubbed>"],
    CommandLine: "sh <scrubbed>",
  });
  const filter = { args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }, { op: "SCMP_CMP_NE" }] };
  t.same(new Scrubber([], [filter]).value(filter), filter, "a seccomp profile's args are no command line");
  t.end();
});

test("ends of files", async (t) => {
  const directory = temporary(t);
  writeFileSync(join(directory, "log"), "0123456789");
  t.same(await readTail(join(directory, "log"), 4), { text: "6789", isCut: true });
  t.same(await readTail(join(directory, "log"), 10), { text: "0123456789", isCut: false });
  execFileSync("mkfifo", [join(directory, "fifo")]);
  await t.rejects(readTail(join(directory, "fifo")), /no regular file/);
  await t.rejects(readTail(directory), /no regular file/);
});

test("archives are tar's own", (t) => {
  const directory = temporary(t);
  const files = [0, 1, 511, 512, 513].map((size) => ({ name: `d/${size}`, data: Buffer.alloc(size, "x") }));
  writeFileSync(join(directory, "a.tar"), makeTar(files, new Date("2026-11-28T12:00:00Z")));
  const listed = execFileSync("tar", ["--utc", "-tvf", join(directory, "a.tar")], { encoding: "utf8" });
  t.match(listed, /^-rw------- 0\/0 +0 2026-11-28 12:00 d\/0\n/);
  t.match(listed, /-rw------- 0\/0 +513 2026-11-28 12:00 d\/513\n$/);
  execFileSync("tar", ["-xf", join(directory, "a.tar"), "-C", directory]);
  for (const { name, data } of files) t.ok(readFileSync(join(directory, name)).equals(data), name);
  t.end();
});
