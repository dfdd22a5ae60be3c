/** What an archive of a system has in it, freed of secrets. */
import { readFile } from "node:fs/promises";
import { version as kernelVersion, release } from "node:os";
import { dirname, join } from "node:path";
import { describeError } from "../../common/errors.ts";
import { stringifyJson } from "../../common/json.ts";
import { printableJson, printableLines } from "../../common/printable.ts";
import { SHORTEST_SECRET } from "../../common/secret-fields.ts";
import { version } from "../../common/version.ts";
import { formatDiagnosis, runChecks } from "../doctor/check.ts";
import { checks } from "../doctor/checks.ts";
import { programVersions } from "../doctor/programs.ts";
import { hereAndNow } from "../doctor/surroundings.ts";
import { Scrubber } from "./scrubber.ts";
import { LARGEST_PART, readTail, type Sources, type Tail } from "./sources.ts";
import type { ArchivedFile } from "./tar.ts";

const DIRECTORY = "lcow-diagnose";
const INDENT = 2;

export interface CollectOptions {
  readonly stateDirectory: string;
  /** What the container's command has written, too. */
  readonly withOutput: boolean;
  readonly date: Date;
}

/** What the keeper answers; see keeper.ts. */
interface Diagnostics {
  readonly document?: unknown;
  readonly init?: unknown;
  readonly machine?: { readonly consoleFile?: string };
  readonly console?: string;
  readonly log?: string;
  readonly secrets?: readonly string[];
}

/** Never rejects for a part: README.txt tells of what there is not. */
export async function collect(sources: Sources, options: CollectOptions): Promise<ArchivedFile[]> {
  const around = hereAndNow(options.stateDirectory);
  const attempt = async <T>(from: Promise<T>): Promise<T | Failed> =>
    await from.catch((error: unknown) => new Failed(describeError(error)));
  const [asked, properties, processes, stacks, output, doctor, programs, manifest] = await Promise.all([
    attempt(sources.ask("diagnostics") as Promise<Diagnostics>),
    attempt(sources.ask()),
    attempt(sources.ask("processes")),
    attempt(sources.ask("stacks") as Promise<{ stacks: string }>),
    options.withOutput ? attempt(sources.output()) : undefined,
    attempt(runChecks(checks, around)),
    attempt(programVersions(around)),
    attempt(readManifest(() => around.image().initrd)),
  ]);

  const secrets = asked instanceof Failed ? undefined : asked.secrets;
  const scrubber = new Scrubber(secrets ?? [], [asked, properties, sources.kept?.record]);
  const parts = new Parts(scrubber);
  parts.json("versions.json", "lcow, Node, programs, kernel, image", {
    lcow: version,
    node: process.version,
    architecture: process.arch,
    kernel: `${release()} ${kernelVersion()}`,
    programs: programs instanceof Failed ? programs.why : programs,
    image: manifest instanceof Failed ? manifest.why : manifest,
  });
  parts.text("doctor.txt", "what this machine lacks", unlessFailed(doctor, formatDiagnosis));
  parts.json(
    "inspect.json",
    "what lcow inspect shows",
    unlessFailed(properties, (known) =>
      processes instanceof Failed ? known : { ...(known as object), Processes: processes },
    ),
  );
  parts.json(
    "settings.json",
    "what it was made of",
    unlessFailed(asked, ({ document, init, machine }) => ({
      document,
      init,
      machine,
    })),
  );
  parts.text(
    "stacks.txt",
    "where the guest's agent is",
    unlessFailed(stacks, (told) => told.stacks),
  );
  parts.json(
    "record.json",
    "what its keeper notes for when it is lost",
    sources.kept?.record ?? new Failed("there is none that this user may read"),
  );

  // What no secret is known of cannot be freed of any.
  const unknown =
    secrets !== undefined
      ? undefined
      : new Failed(
          `left out, since it cannot be known which secrets are in it: ${asked instanceof Failed ? asked.why : "there are too many"}`,
        );
  const fromGuest = (what: "console" | "log", absent: string) =>
    unlessFailed(asked, (told) => told[what] ?? new Failed(absent));
  const consoleFile = asked instanceof Failed ? undefined : asked.machine?.consoleFile;
  parts.text(
    "console.log",
    "the end of what the guest printed",
    unknown ?? fromGuest("console", "there is none: no virtual machine, or not started"),
  );
  if (consoleFile !== undefined)
    parts.tail(
      "console-file.log",
      `the end of ${consoleFile}`,
      unknown ?? (await attempt(readTail(consoleFile))),
    );
  parts.text(
    "agent.log",
    "the end of what the guest's agent logged",
    unknown ?? fromGuest("log", "it was not started"),
  );
  parts.tail(
    "keeper.log",
    "what the system's keeper logged, and the agent with --loglevel",
    unknown ??
      (sources.kept === undefined
        ? new Failed("there is none that this user may read")
        : await attempt(readTail(join(sources.kept.directory, "keeper.log")))),
  );
  for (const stream of ["stdout", "stderr"] as const) {
    const wanted = output ?? new Failed("left out: give --with-output to have it");
    parts.tail(
      `${stream}.log`,
      `the container's ${stream}`,
      output === undefined ? (wanted as Failed) : (unknown ?? unlessFailed(output, (told) => told[stream])),
    );
  }
  return parts.files(sources.id, options.date);
}

/** A part that there is not, and why. */
class Failed {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

function unlessFailed<T, Result>(value: T | Failed, use: (value: T) => Result): Result | Failed {
  return value instanceof Failed ? value : use(value);
}

async function readManifest(initrd: () => string): Promise<unknown> {
  const { key, kernelRelease, packages, runtimes } = JSON.parse(
    await readFile(join(dirname(initrd()), "image.json"), "utf8"),
  ) as Record<string, unknown>;
  return { key, kernelRelease, packages, runtimes };
}

class Parts {
  readonly #scrubber: Scrubber;
  readonly #parts: { readonly name: string; readonly about: string; readonly text: string | Failed }[] = [];

  constructor(scrubber: Scrubber) {
    this.#scrubber = scrubber;
  }

  json(name: string, about: string, value: unknown): void {
    const text =
      value instanceof Failed
        ? value
        : `${printableJson(stringifyJson(this.#scrubber.value(value), INDENT))}\n`;
    this.#parts.push({ name, about, text });
  }

  text(name: string, about: string, text: string | Failed): void {
    this.tail(name, about, text instanceof Failed ? text : { text, isCut: false });
  }

  tail(name: string, about: string, tail: Tail | Failed): void {
    if (tail instanceof Failed) {
      this.#parts.push({ name, about, text: tail });
      return;
    }
    // A secret that the cut went through would not be known: so much of the begin goes, and the rest of that line.
    const whole = tail.isCut ? fromNextLine(tail.text.slice(this.#scrubber.longest)) : tail.text;
    const text = printableLines(this.#scrubber.text(whole));
    this.#parts.push({ name, about: tail.isCut ? `${about} (its end)` : about, text });
  }

  files(id: string, date: Date): ArchivedFile[] {
    const there = this.#parts.flatMap(({ name, about, text }) =>
      text instanceof Failed ? [] : [{ name, about, data: bounded(text) }],
    );
    const absent = this.#parts.flatMap(({ name, about, text }) =>
      text instanceof Failed ? [`  ${name.padEnd(18)}${about}: ${this.#scrubber.text(text.why)}\n`] : [],
    );
    const readme = `What lcow knows of the system ${id}, collected by lcow diagnose on ${date.toISOString()}.

In here:
${there.map(({ name, about, data }) => `  ${name.padEnd(18)}${about}, ${data.length} bytes\n`).join("")}
Not in here:
${absent.length === 0 ? "  nothing that was asked for\n" : absent.join("")}
Secrets: <scrubbed> stands for values of environments, arguments of commands, annotations, labels and policies, of all
systems of this one's keeper, also where they recur in logs as they are. Not known are those of fewer than
${SHORTEST_SECRET} characters outside of these fields, those that a container got in another way (files, its image, its input), and what
was made of one (encoded, hashed, cut). The kernel's command line (--append), paths and names are left as they are.
Each part is its last ${LARGEST_PART / 1024 ** 2} MiB. Read it before you pass it on.
`;
    const all = [{ name: "README.txt", data: Buffer.from(this.#scrubber.text(readme)) }, ...there];
    return all.map(({ name, data }) => ({ name: `${DIRECTORY}/${name}`, data }));
  }
}

/** By bytes; from a line's begin. */
function bounded(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= LARGEST_PART) return bytes;
  return Buffer.from(fromNextLine(bytes.subarray(-LARGEST_PART).toString()));
}

/** Of what is one line without an end nothing is left. */
function fromNextLine(text: string): string {
  const at = text.indexOf("\n");
  return at < 0 ? "" : text.slice(at + 1);
}
