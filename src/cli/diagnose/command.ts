/** `lcow diagnose`: what somebody else needs to find out what is wrong with a system, without its secrets. */
import { lstatSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { type OptionDescription, UsageError } from "../arguments.ts";
import { print } from "../output.ts";
import { STATE_OPTION, stateDirectory } from "../service/connection.ts";
import { SYSTEM } from "../service/verb.ts";
import { readNotEmpty } from "../values.ts";
import type { Verb } from "../verb.ts";

const STANDARD_OUTPUT = "-";
/** A file's name has at most 255 bytes, and a system's may have as many. */
const LONGEST_NAME = 100;

const OUTPUT: OptionDescription<string> = {
  name: "output",
  short: "o",
  value: "FILE",
  read: readArchive,
  completes: "file",
  help: "where to write the archive, - for standard output (default\nlcow-diagnose-NAME-DATE.tar.gz here)",
};
const WITH_OUTPUT: OptionDescription = {
  name: "with-output",
  help: "what the container's command has written, too",
};

export const verb: Verb = {
  operands: [SYSTEM],
  about: `Packs what is known of a system into an archive, for who is to find out what is wrong with it: console, logs,
where its guest's agent is, settings, versions, what \`lcow doctor\` says. Values of environments, arguments of commands,
annotations and labels are taken out, also where they recur in logs; README.txt in the archive says what else is not in
it, and why. A guest or keeper that does not answer is told there, and is no failure. The file has mode 0600; one that
is there already is left alone.`,
  options: [OUTPUT, WITH_OUTPUT, STATE_OPTION],
  async run(found) {
    const [id = ""] = found.operands;
    const date = new Date();
    const file = found.read(OUTPUT) ?? resolve(defaultName(id, date));
    if (file !== STANDARD_OUTPUT) checkAbsent(file);
    else if (isatty(1)) throw new UsageError("an archive is nothing for a terminal; name a file with -o");
    const [{ Sources }, { collect }, { makeTar }] = await Promise.all([
      import("./sources.ts"),
      import("./collect.ts"),
      import("./tar.ts"),
    ]);
    const directory = stateDirectory(found);
    const sources = await Sources.find(id, directory);
    const files = await collect(sources, {
      stateDirectory: directory,
      withOutput: found.has(WITH_OUTPUT.name),
      date,
    });
    const archive = await promisify(gzip)(makeTar(files, date));
    if (file === STANDARD_OUTPUT) {
      await print(archive);
    } else {
      await write(file, archive);
      await print(`${file}\n`);
    }
    return 0;
  },
};

function readArchive(text: string, what: string): string {
  return text === STANDARD_OUTPUT ? text : resolve(readNotEmpty(text, what));
}

function defaultName(id: string, date: Date): string {
  const stamp = date.toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "");
  return `lcow-diagnose-${id.slice(0, LONGEST_NAME)}-${stamp}.tar.gz`;
}

/** Before anything is collected; write() makes sure. */
function checkAbsent(file: string): void {
  if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) throw alreadyThere(file);
}

function alreadyThere(file: string, cause?: unknown): AgentError {
  return new AgentError("INVALID_ARGUMENT", `${file} is there already; name another with -o`, { cause });
}

/** A new file, whole or not at all. @throws AgentError INVALID_ARGUMENT, SYSTEM_CALL_FAILED */
async function write(file: string, archive: Buffer): Promise<void> {
  const handle = await open(file, "wx", 0o600).catch((cause: unknown) => {
    if (isSystemError(cause, "EEXIST")) throw alreadyThere(file, cause);
    throw new AgentError("SYSTEM_CALL_FAILED", `${file} cannot be made; name another with -o`, { cause });
  });
  try {
    await handle.writeFile(archive);
  } catch (cause) {
    await rm(file, { force: true });
    throw new AgentError("SYSTEM_CALL_FAILED", `${file} could not be written`, { cause });
  } finally {
    await handle.close();
  }
}
