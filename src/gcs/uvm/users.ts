/** User names of an execute request, looked up in the container's own files, as a login in it would see them. */
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../../errors.ts";
import type { OciUser as User } from "../../runtime/runtime.ts";

/**
 * @param user as the host sent it; with a `username` ("name", "uid", "name:group" or "uid:gid") it is resolved.
 * @param options.fallback init's user, taken when the host named none.
 * @throws AgentError INVALID_ARGUMENT for a name that the container does not know.
 */
export async function resolveUser(
  user: User | undefined,
  options: { fallback?: User | undefined; rootPath: string },
): Promise<User> {
  if (user?.username === undefined || user.username === "") {
    return user ?? options.fallback ?? { uid: 0, gid: 0 };
  }
  const { username, ...rest } = user;
  const [name = "", group] = username.split(":", 2);
  const entry = await findEntry(options.rootPath, "etc/passwd", name);
  const uid = entry === undefined ? numeric(name) : Number(entry[2]);
  if (uid === undefined)
    throw new AgentError("INVALID_ARGUMENT", `user "${name}" is not in the container's /etc/passwd`);
  if (group === undefined || group === "")
    return { ...rest, uid, gid: entry === undefined ? 0 : Number(entry[3]) };
  const groupEntry = await findEntry(options.rootPath, "etc/group", group);
  const gid = groupEntry === undefined ? numeric(group) : Number(groupEntry[2]);
  if (gid === undefined)
    throw new AgentError("INVALID_ARGUMENT", `group "${group}" is not in the container's /etc/group`);
  return { ...rest, uid, gid };
}

function numeric(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xfffffffe ? Number(text) : undefined;
}

/** The colon-separated fields of the line for a name or a numeric id. */
async function findEntry(rootPath: string, file: string, name: string): Promise<string[] | undefined> {
  let text: string;
  try {
    const root = await realpath(rootPath);
    const path = await realpath(join(root, file));
    // A link that leads out of the container's root would be read on the agent's side: it does not count.
    if (!path.startsWith(root === "/" ? "/" : `${root}/`)) return undefined;
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AgentError("INVALID_ARGUMENT", `cannot read the container's /${file}`, { cause: error });
  }
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields.length >= 3 && (fields[0] === name || fields[2] === name));
}
