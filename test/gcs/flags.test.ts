import { readFileSync } from "node:fs";
import t from "tap";
import { AgentError } from "../../src/common/errors.ts";
import { version } from "../../src/common/version.ts";
import { flagsHelp, parseFlags } from "../../src/gcs/flags.ts";

await t.test("the command line that hcsshim passes", async (t) => {
  const flags = parseFlags(["-v4", "-log-format", "json", "-loglevel", "debug"]);
  t.match(flags, { v4: true, "log-format": "json", loglevel: "debug", transport: "vsock" });
});

await t.test("one dash or two, a blank or an equals sign", async (t) => {
  for (const argv of [
    ["-loglevel", "info"],
    ["--loglevel", "info"],
    ["-loglevel=info"],
    ["--loglevel=info"],
  ]) {
    t.equal(parseFlags(argv).loglevel, "info", argv.join(" "));
  }
  t.equal(parseFlags(["-scrub-logs=false"])["scrub-logs"], false);
  t.equal(parseFlags(["-v4=true"]).v4, true);
  t.equal(parseFlags(["-root-mem-reserve-bytes", "0x100000"])["root-mem-reserve-bytes"], 1048576);
  t.equal(parseFlags(["--transport", "unix:/tmp/a=b"]).transport, "unix:/tmp/a=b");
});

await t.test("the defaults of the reference agent", async (t) => {
  t.match(parseFlags([]), {
    loglevel: "debug",
    "log-format": "text",
    "root-mem-reserve-bytes": 75 * 1024 * 1024,
    "gcs-mem-limit-bytes": 50 * 1024 * 1024,
    "scrub-logs": true,
    "initial-policy-stance": "allow",
    kmsgLogLevel: 4,
  });
});

await t.test("what is wrong is named", async (t) => {
  const cases: [string[], RegExp][] = [
    [["-nonesuch"], /unknown flag -nonesuch/],
    [["stray"], /unexpected argument "stray"/],
    [["-loglevel"], /-loglevel needs a value/],
    [["-loglevel", "loud"], /-loglevel: "loud"/],
    [["-log-format=xml"], /-log-format: "xml"/],
    [["-v4=maybe"], /-v4: "maybe"/],
    [["-gcs-mem-limit-bytes", "-1"], /-gcs-mem-limit-bytes: "-1"/],
    [["-kmsgLogLevel", "8"], /-kmsgLogLevel: "8"/],
  ];
  for (const [argv, message] of cases) {
    try {
      parseFlags(argv);
      t.fail(`${argv.join(" ")} was taken`);
    } catch (error) {
      t.ok(error instanceof AgentError && error.code === "INVALID_ARGUMENT", argv.join(" "));
      t.match((error as Error).message, message);
    }
  }
});

await t.test("the help names every flag", async (t) => {
  for (const name of Object.keys(parseFlags([]))) t.match(flagsHelp(), `-${name}`);
});

await t.test("the version is the package's", async (t) => {
  const packageJson = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  t.equal(version, packageJson.version);
});
