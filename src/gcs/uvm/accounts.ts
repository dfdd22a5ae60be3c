/** The lines of a container's /etc/passwd and /etc/group: passwd(5), group(5). */
import { asBytes, readLinesInRoot } from "../../linux/root-file.ts";

/** (uid_t)-1 means "no id" to the kernel. */
export const HIGHEST_ID = 0xfffffffe;

/** Names are bytes, one a character, as readLinesInRoot gives them. */
export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** @returns undefined for what is no decimal number, and for one out of range. */
export function parseId(text: string): number | undefined {
  return /^\d{1,20}$/.test(text) && Number(text) <= HIGHEST_ID ? Number(text) : undefined;
}

/** Longer lines are no entries. */
const MAXIMUM_LINE_LENGTH = 4096;

/** Users in the order of the file. @throws AgentError INVALID_DATA, SYSTEM_CALL_FAILED; see readLinesInRoot. */
export async function readUsers(root: string): Promise<UserEntry[]> {
  return ((await readLinesInRoot(root, "/etc/passwd")) ?? []).flatMap((line) => {
    if (line.length > MAXIMUM_LINE_LENGTH) return [];
    const [name = "", , uidText = "", gidText = ""] = line.split(":");
    const [uid, gid] = [parseId(uidText), parseId(gidText)];
    return isName(name) && uid !== undefined && gid !== undefined ? [{ name, uid, gid }] : [];
  });
}

export interface Groups {
  /** In the order of the file. */
  readonly entries: readonly GroupEntry[];
  /**
   * Numbers that are the name of another group, or of a line that is no entry. runc before 1.2 takes a group's number
   * for its name when there is such a line, and what is no number in it for 0.
   */
  readonly ambiguous: ReadonlySet<number>;
}

/** @throws as readUsers */
export async function readGroups(root: string): Promise<Groups> {
  const entries: GroupEntry[] = [];
  const ambiguous = new Set<number>();
  for (const line of (await readLinesInRoot(root, "/etc/group")) ?? []) {
    const [name = "", , gidText = "", members = ""] = line.split(":");
    const gid = line.length <= MAXIMUM_LINE_LENGTH ? parseId(gidText) : undefined;
    const asNumber = parseId(name);
    if (asNumber !== undefined && asNumber !== gid) ambiguous.add(asNumber);
    if (isName(name) && gid !== undefined) entries.push({ name, gid, members: members.split(",") });
  }
  return { entries, ambiguous };
}

export function named<Entry extends { name: string }>(
  entries: readonly Entry[],
  name: string,
): Entry | undefined {
  const bytes = asBytes(name);
  return entries.find((entry) => entry.name === bytes);
}

/** Lines that begin with + or - send a login to NIS, and are no entries. */
function isName(name: string): boolean {
  return name !== "" && !/^[+-]/.test(name);
}
