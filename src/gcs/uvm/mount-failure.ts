/**
 * Why a runtime could not mount something in a container's root. Runtimes say what a system call said of a path; what is
 * wrong is nearly always the image, and what in it can be seen.
 */
import { dirname, join } from "node:path";
import { AgentError, type ErrorCode } from "../../common/errors.ts";
import { kindInRoot } from "../../linux/root-file.ts";
import type { OciMount, OciSpec } from "../../protocol/schemas/oci.ts";

/** What is no bind mount is mounted on a directory, whatever its source. */
const isBind = ({ type, options = [] }: OciMount) =>
  type === "bind" || options.includes("bind") || options.includes("rbind");

/** A newer crun says of a mount and of a command alike: open `/x/y`: Not a directory. */
const CODES: readonly ErrorCode[] = ["RUNTIME_FAILED", "COMMAND_NOT_EXECUTABLE"];

/**
 * @param error what the runtime failed with.
 * @returns INVALID_DATA naming what of the image is in the way of a mount; undefined when nothing is.
 */
export async function explainMountFailure(spec: OciSpec, error: unknown): Promise<AgentError | undefined> {
  if (!(error instanceof AgentError) || !CODES.includes(error.code)) return undefined;
  const done: string[] = [];
  // So that it is where those look who trust it: runc's words, crun's.
  const [, type, target] =
    /"(\w+)" must be mounted on ordinary directory|the target `(.*)` is invalid/.exec(error.message) ?? [];
  for (const mount of spec.mounts ?? []) {
    const destination = join("/", mount.destination);
    // Below an earlier mount it is not the image that counts.
    const isCovered = done.some((other) => destination === other || destination.startsWith(`${other}/`));
    done.push(destination);
    if (isCovered) continue;
    const isLink = (type !== undefined && mount.type === type) || destination === target;
    const link = `${destination} is a symbolic link: ${mount.type} is mounted on a directory alone`;
    const obstacle = (await findObstacle(spec.root.path, mount, destination)) ?? (isLink ? link : undefined);
    if (obstacle === undefined) continue;
    return new AgentError("INVALID_DATA", `the container's ${obstacle}; change the image`);
  }
  return undefined;
}

async function findObstacle(root: string, mount: OciMount, destination: string): Promise<string | undefined> {
  for (const ancestor of ancestorsOf(destination)) {
    const kind = await kindInRoot(root, ancestor);
    if (kind === undefined) return undefined;
    if (kind !== "a directory")
      return `${ancestor} is ${kind}, not a directory: ${destination} cannot be mounted in it`;
  }
  const kind = await kindInRoot(root, destination);
  if (kind === undefined) return undefined;
  if (kind === "a link in a circle") return `${destination} is ${kind}: nothing can be mounted there`;
  const wantsDirectory = !isBind(mount) || (await kindInRoot("/", mount.source ?? "")) === "a directory";
  if (wantsDirectory && kind !== "a directory")
    return `${destination} is ${kind}, not a directory: ${mount.type ?? "a directory"} cannot be mounted there`;
  if (!wantsDirectory && kind === "a directory")
    return `${destination} is a directory: a file cannot be mounted there`;
  return undefined;
}

/** "/a", "/a/b" of "/a/b/c". */
function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === "/" ? [] : [...ancestorsOf(parent), parent];
}
