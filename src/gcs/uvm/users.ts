/**
 * Whom a process runs as: "NAME", "UID", each perhaps with ":GROUP" or ":GID", as a host writes it. A number is a
 * number, whatever names the files hold; a name is looked up in the container's own files, as a login in it would be.
 *
 * Groups are Docker's: who is named without a group gets the groups that list them, and the primary one always counts
 * among them; with a group named, that one alone. A host that says `additionalGids` has said all there is. hcsshim's
 * guest looks up the same ids, and knows no additional groups.
 */
import { AgentError } from "../../common/errors.ts";
import { asBytes, checkRuntimesFile } from "../../linux/root-file.ts";
import type { OciUser as User } from "../../runtime/runtime.ts";
import { HIGHEST_ID, named, parseId, readGroups, readUsers, type UserEntry } from "./accounts.ts";

/** NGROUPS_MAX, getgroups(2). */
const MAXIMUM_GROUPS = 65_536;
const MAXIMUM_QUOTED = 64;

export interface UserContext {
  /** Init's user, taken when the host named none. */
  readonly fallback?: User | undefined;
  readonly rootPath: string;
  /** Told why a number could not be looked up; it is used all the same. */
  readonly warn: (error: unknown) => void;
}

/**
 * @param user as the host sent it. @returns the same in numbers, as the runtime wants it.
 * @throws AgentError INVALID_ARGUMENT for what is no user or group, or none that the container knows; INVALID_DATA,
 *   SYSTEM_CALL_FAILED for files that cannot be read.
 */
export async function resolveUser(user: User | undefined, context: UserContext): Promise<User> {
  const { rootPath } = context;
  // The runtime reads both, for HOME: a FIFO would keep it until its deadline, and what is large take its memory.
  await Promise.all([checkRuntimesFile(rootPath, "/etc/passwd"), checkRuntimesFile(rootPath, "/etc/group")]);
  if (user === undefined) return context.fallback ?? { uid: 0, gid: 0 };
  const { username, additionalGroups, ...rest } = user;
  const found = username === undefined || username === "" ? undefined : await find(username, context);
  const { uid, gid } = found ?? user;
  const added = await groupIds(additionalGroups ?? [], rootPath);
  const own = user.additionalGids ?? (found || added.length > 0 ? [gid ?? 0, ...(found?.groups ?? [])] : []);
  const additionalGids = await passable([...new Set([...own, ...added])], gid, rootPath);
  return {
    ...rest,
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
    ...(additionalGids.length > 0 && { additionalGids }),
  };
}

/** The groups as the runtime can be told of them: see Groups.ambiguous. */
async function passable(
  gids: readonly number[],
  primary: number | undefined,
  rootPath: string,
): Promise<number[]> {
  if (gids.length > MAXIMUM_GROUPS) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `the user is in ${gids.length} groups; Linux takes ${MAXIMUM_GROUPS}`,
    );
  }
  // The primary one is set in any case.
  const others = gids.filter((gid) => gid !== primary);
  if (gids.length === 0) return [];
  let ambiguous: ReadonlySet<number>;
  try {
    ({ ambiguous } = await readGroups(rootPath));
  } catch (error) {
    if (others.length > 0) throw error;
    return [];
  }
  const bad = others.find((gid) => ambiguous.has(gid));
  if (bad === undefined) return gids.filter((gid) => !ambiguous.has(gid));
  throw new AgentError(
    "INVALID_ARGUMENT",
    `group ${bad} cannot be given: the container's /etc/group names another group "${bad}"`,
  );
}

interface Found {
  readonly uid: number;
  readonly gid: number;
  /** Beside the primary one. */
  readonly groups: readonly number[];
}

async function find(text: string, context: UserContext): Promise<Found> {
  const { rootPath } = context;
  const [userText = "", groupText, ...rest] = text.split(":");
  if (userText === "" || groupText === "" || rest.length > 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `user ${quote(text)} is not USER or USER:GROUP, by name or number`,
    );
  }
  const number = readNumber("user", userText);
  // With both numbers given /etc/passwd is not read.
  const gid = groupText === undefined ? undefined : await groupId(groupText, rootPath);
  if (number !== undefined) {
    if (gid !== undefined) return { uid: number, gid, groups: [] };
    return await findNumber(number, context);
  }
  const entry = named(await readUsers(rootPath), userText);
  if (entry === undefined) {
    throw new AgentError("INVALID_ARGUMENT", `user ${quote(userText)} is not in the container's /etc/passwd`);
  }
  if (gid !== undefined) return { uid: entry.uid, gid, groups: [] };
  return { uid: entry.uid, gid: entry.gid, groups: await groupsOf(entry, rootPath) };
}

/** A number needs no entry; one that has an entry gets its groups. */
async function findNumber(uid: number, { rootPath, warn }: UserContext): Promise<Found> {
  try {
    const entry = (await readUsers(rootPath)).find((candidate) => candidate.uid === uid);
    if (entry === undefined) return { uid, gid: 0, groups: [] };
    return { uid, gid: entry.gid, groups: await groupsOf(entry, rootPath) };
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "INVALID_DATA") throw error;
    warn(error);
    return { uid, gid: 0, groups: [] };
  }
}

async function groupsOf(user: UserEntry, rootPath: string): Promise<number[]> {
  const { entries } = await readGroups(rootPath);
  return entries.filter(({ members }) => members.includes(user.name)).map(({ gid }) => gid);
}

async function groupIds(groups: readonly string[], rootPath: string): Promise<number[]> {
  const gids: number[] = [];
  for (const group of groups) gids.push(await groupId(group, rootPath));
  return gids;
}

async function groupId(text: string, rootPath: string): Promise<number> {
  const gid = readNumber("group", text) ?? named((await readGroups(rootPath)).entries, text)?.gid;
  if (gid !== undefined) return gid;
  throw new AgentError("INVALID_ARGUMENT", `group ${quote(text)} is not in the container's /etc/group`);
}

/** @returns undefined for a name. @throws AgentError INVALID_ARGUMENT for a number that is none of Linux's. */
function readNumber(what: "user" | "group", text: string): number | undefined {
  const number = parseId(text);
  if (number !== undefined || !/^[+-]?\d+(\.\d*)?$/.test(text)) return number;
  throw new AgentError(
    "INVALID_ARGUMENT",
    `${what} ${quote(text)} is not a whole number from 0 to ${HIGHEST_ID}`,
  );
}

function quote(text: string): string {
  return JSON.stringify(
    asBytes(text).length <= MAXIMUM_QUOTED ? text : `${text.slice(0, MAXIMUM_QUOTED)}...`.toWellFormed(),
  );
}
