import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { AgentError } from "../../common/errors.ts";
import type { StartSubject } from "../../common/start-failure.ts";
import type { BundleSpec } from "../runtime.ts";

/** What we need to know of a bundle's config.json; the runtime reads the file itself. */
export interface BundleFacts {
  readonly path: string;
  readonly rootfs: string;
  /** Init, for errors. */
  readonly starts: StartSubject;
  /** Init has a terminal. */
  readonly terminal: boolean;
  readonly consoleSize: { readonly height: number; readonly width: number } | undefined;
  /** Init is the init of its own pid namespace, so all in that namespace ends with it. */
  readonly ownsPidNamespace: boolean;
  /** `linux.cgroupsPath`, where it is absolute. */
  readonly cgroupsPath: string | undefined;
  /** Newer runtimes run these hooks in `start`, older ones in `create`. */
  readonly hasPoststartHooks: boolean;
  /** Its end takes more than the removal of cgroup and state: poststop hooks, a resctrl group. */
  readonly endsElaborately: boolean;
}

/**
 * @param path absolute
 * @throws AgentError RUNTIME_FAILED when config.json is missing or is no JSON object.
 */
export function readBundle(path: string): BundleFacts {
  const file = `${path}/config.json`;
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof parsed !== "object" || parsed === null) throw new Error("it is no JSON object");
    return bundleOf(path, parsed);
  } catch (cause) {
    throw new AgentError("RUNTIME_FAILED", `cannot read the bundle's ${file}`, { cause });
  }
}

/** @param spec of which nothing has been checked: it may be what a file said. */
export function bundleOf(path: string, spec: BundleSpec): BundleFacts {
  const namespaces = Array.isArray(spec.linux?.namespaces) ? spec.linux.namespaces : [];
  const pidNamespace = namespaces.find((namespace) => namespace?.type === "pid");
  const cgroupsPath = spec.linux?.cgroupsPath;
  return {
    path,
    rootfs: resolve(path, typeof spec.root?.path === "string" ? spec.root.path : "rootfs"),
    starts: startSubjectOf(spec.process ?? {}),
    terminal: spec.process?.terminal === true,
    consoleSize: spec.process?.consoleSize,
    ownsPidNamespace: pidNamespace !== undefined && !pidNamespace.path,
    hasPoststartHooks: isFilled(spec.hooks?.poststart),
    endsElaborately: isFilled(spec.hooks?.poststop) || Boolean(spec.linux?.intelRdt),
    cgroupsPath: typeof cgroupsPath === "string" && cgroupsPath.startsWith("/") ? cgroupsPath : undefined,
  };
}

/** The fields of a process that is not checked here. */
export function startSubjectOf({ args, cwd }: { args?: unknown; cwd?: unknown }): StartSubject {
  const command: unknown = Array.isArray(args) ? args[0] : undefined;
  return {
    command: typeof command === "string" ? command : "",
    workingDirectory: typeof cwd === "string" ? cwd : "",
  };
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
}
