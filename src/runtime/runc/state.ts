import { resolve } from "node:path";
import { AgentError } from "../../common/errors.ts";
import type { ContainerState } from "../runtime.ts";
import { readBundle } from "./bundle-facts.ts";

const statuses = new Set<string>(["creating", "created", "running", "paused", "stopped"]);

/** @param text what `state` wrote. @throws AgentError RUNTIME_FAILED */
export function parseState(text: string): ContainerState {
  return toState(parse(text, "state"));
}

/** @param text what `list` wrote; runc says null for none. @throws AgentError RUNTIME_FAILED */
export function parseStates(text: string): ContainerState[] {
  const list = parse(text, "list");
  if (list === null) return [];
  if (!Array.isArray(list)) throw notUnderstood("list");
  return list.map(toState);
}

function toState(value: unknown): ContainerState {
  if (typeof value !== "object" || value === null) throw notUnderstood("state");
  const { id, pid, status, bundle, rootfs, created } = value as Record<string, unknown>;
  if (typeof id !== "string" || typeof status !== "string" || typeof bundle !== "string")
    throw notUnderstood("state");
  return {
    id,
    pid: typeof pid === "number" ? pid : 0,
    status: (statuses.has(status) ? status : "running") as ContainerState["status"],
    bundle,
    rootfs: rootfsOf(bundle, rootfs),
    created: typeof created === "string" ? created : "",
  };
}

/** crun tells it as the spec has it, relative to the bundle, and leaves it out of its list. */
function rootfsOf(bundle: string, rootfs: unknown): string {
  if (typeof rootfs === "string" && rootfs !== "") return resolve(bundle, rootfs);
  try {
    return readBundle(bundle).rootfs;
  } catch (error) {
    // The bundle of a container that others made may be gone.
    if (error instanceof AgentError) return "";
    throw error;
  }
}

function parse(text: string, command: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentError("RUNTIME_FAILED", `the runtime's ${command} command gave no JSON`, { cause });
  }
}

function notUnderstood(command: string): AgentError {
  return new AgentError("RUNTIME_FAILED", `the runtime's ${command} command gave JSON of another shape`);
}
