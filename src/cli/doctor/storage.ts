/** Checks of directories, and of the service that has one. */
import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { REMEDY as CACHE_REMEDY } from "../../common/cache/cache-directory.ts";
import { checkPrivate } from "../../common/cache/trusted-directory.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import { callJson, isAbsent } from "../../hcs/serve/client.ts";
import { serviceSocket } from "../../hcs/serve/paths.ts";
import { formatBytes } from "../service/table.ts";
import { type Check, type Finding, missing, note, ok } from "./check.ts";

const SERVICE_DEADLINE_MS = 5_000;
/** An image of a root takes as much as the root; a bundle and sockets next to nothing. */
const LITTLE = { cache: 1024 ** 3, run: 16 * 1024 ** 2, scratch: 1024 ** 3 };

export const cache: Check = {
  name: "cache",
  neededFor: "images of roots, the default root of run --local, and whether KVM works",
  async run({ cache: directory, kvm }) {
    // Without KVM nothing of `lcow run` is kept there.
    const isNeeded = await mayUse(kvm);
    const bad = isNeeded ? missing : note;
    try {
      checkPrivate(directory, CACHE_REMEDY);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return bad(error.message, CACHE_REMEDY);
    }
    return await judgeDirectory(directory, { bad, least: LITTLE.cache, remedy: CACHE_REMEDY });
  },
};

export const temporary: Check = {
  name: "temporary",
  neededFor: "run --local: its agent's files",
  async run({ run, temporary: other }) {
    const directory = (await isWritable(run)) ? run : other;
    return await judgeDirectory(directory, { bad: note, least: LITTLE.run, remedy: "set TMPDIR to another" });
  },
};

export const scratch: Check = {
  name: "scratch",
  neededFor: "run --root DIR in a machine: what its container writes",
  async run({ scratch: directory }) {
    return await judgeDirectory(directory, { bad: note, least: LITTLE.scratch, remedy: "make room there" });
  },
};

export const state: Check = {
  name: "state",
  neededFor: "lcow serve",
  async run({ stateDirectory: directory, user }) {
    const remedy = "name another with --state-directory or LCOW_STATE_DIRECTORY";
    const found = await stat(directory).catch(() => undefined);
    if (found !== undefined && !found.isDirectory()) return note(`${directory} is no directory`, remedy);
    if (found !== undefined && found.uid !== user)
      return note(`${directory} belongs to user ${found.uid}`, remedy);
    return await judgeDirectory(directory, { bad: note, least: LITTLE.run, remedy });
  },
};

export const service: Check = {
  name: "service",
  neededFor: "containers that outlive a command: create, run -d, exec, ...",
  async run({ stateDirectory }) {
    const socket = serviceSocket(stateDirectory);
    try {
      const signal = AbortSignal.timeout(SERVICE_DEADLINE_MS);
      const systems = (await callJson(socket, "GET", "/systems", undefined, { signal })) as unknown[];
      return ok(`answers at ${socket}, ${systems.length} system${systems.length === 1 ? "" : "s"}`);
    } catch (error) {
      if (isAbsent(error)) return note(`no service answers at ${socket}`, "lcow serve, where it is wanted");
      return note(describeError(error), "end it, and start it anew: its systems run on");
    }
  },
};

interface Judgement {
  readonly bad: (says: string, remedy?: string) => Finding;
  /** Bytes of room that are no reason to say anything. */
  readonly least: number;
  readonly remedy: string;
}

/** One that is there, or can be made. */
async function judgeDirectory(directory: string, { bad, least, remedy }: Judgement): Promise<Finding> {
  const there = await nearest(directory);
  const isMade = there !== directory;
  if (!(await isWritable(there))) {
    const what = isMade ? `${directory} cannot be made, as ${there}` : directory;
    return bad(`${what} cannot be written to`, remedy);
  }
  const { bavail, bsize, type } = await statfs(there);
  const free = bavail * bsize;
  const room = `${formatBytes(free)} free`;
  if (type === RAMFS) return ok(`${directory}, in memory`);
  if (free < least) return note(`${directory} has only ${room}`, remedy);
  return ok(`${directory}${isMade ? " (made when it is needed)" : ""}, ${room}`);
}

/** <linux/magic.h>: it has no size, and says 0. */
const RAMFS = 0x858458f6;

/** The directory, or what of the way to it is there. */
async function nearest(directory: string): Promise<string> {
  for (let at = directory; ; at = dirname(at)) {
    if (at === dirname(at)) return at;
    const isThere = await stat(at).then(
      () => true,
      () => false,
    );
    if (isThere) return at;
  }
}

async function isWritable(directory: string): Promise<boolean> {
  return await access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function mayUse(device: string): Promise<boolean> {
  return await access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}
