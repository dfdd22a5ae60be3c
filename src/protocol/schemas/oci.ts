import * as v from "valibot";
import {
  anyObject,
  integerBetween,
  looseObject,
  nonEmptyString,
  optional,
  stringRecord,
  u16,
  u32,
} from "./base.ts";

/*
 * The parts of an OCI runtime configuration that the agent reads or edits; every other field passes through to the
 * runtime untouched. Source: the OCI runtime specification, config.md and config-linux.md.
 */

/** A user or group; the highest 32-bit number means none to the kernel. */
const id = integerBetween(0, 0xfffffffe);

export const ociProcess = looseObject({
  /** Whether the process gets a pseudo-terminal. Default false. */
  terminal: optional(v.boolean()),
  /** Initial size of the terminal, in characters. */
  consoleSize: optional(looseObject({ height: u16, width: u16 })),
  user: optional(
    looseObject({
      uid: optional(id),
      gid: optional(id),
      umask: optional(u32),
      /** All groups but the primary one; with it, none are looked up. */
      additionalGids: optional(v.array(id)),
      /** NAME or UID, perhaps with :GROUP or :GID, to look up in the container's /etc/passwd; overrides uid and gid. */
      username: optional(v.string()),
      /** This agent's own: further groups, by name or number, looked up in the container's /etc/group. */
      additionalGroups: optional(v.array(v.string())),
    }),
  ),
  /** The program and its arguments; at least the program. */
  args: v.pipe(
    v.array(v.string()),
    v.check((args) => args.length > 0, "an array that is not empty"),
  ),
  /** `NAME=value`. */
  env: optional(v.array(v.string())),
  /** Working directory, absolute in the container. */
  cwd: v.string(),
  /** -1000 to 1000: how readily the kernel kills it when memory runs out. */
  oomScoreAdj: optional(integerBetween(-1000, 1000)),
});

export const ociMount = looseObject({
  /** Absolute path in the container; may carry the prefix `blockdev://`. */
  destination: nonEmptyString,
  type: optional(v.string()),
  /** A path, or a name for pseudo file systems; may carry a prefix such as `sandbox://`. */
  source: optional(v.string()),
  options: optional(v.array(v.string())),
});

export const ociSpec = looseObject({
  ociVersion: optional(v.string()),
  hostname: optional(v.string()),
  process: ociProcess,
  root: looseObject({
    /** Absolute path of the container's root in the utility VM. */
    path: nonEmptyString,
    /** Default false. */
    readonly: optional(v.boolean()),
  }),
  mounts: optional(v.array(ociMount)),
  annotations: optional(stringRecord),
  hooks: optional(anyObject),
  linux: optional(
    looseObject({
      namespaces: optional(
        v.array(
          looseObject({
            /** pid, network, mount, ipc, uts, user, cgroup or time. */
            type: nonEmptyString,
            /** An existing namespace to join; a new one is made when absent. */
            path: optional(v.string()),
          }),
        ),
      ),
      cgroupsPath: optional(v.string()),
      resources: optional(
        looseObject({
          /** Rules of the device cgroup, in order. */
          devices: optional(v.array(anyObject)),
          memory: optional(anyObject),
        }),
      ),
      /** Device nodes to make. */
      devices: optional(v.array(looseObject({ path: nonEmptyString, type: nonEmptyString }))),
      seccomp: optional(anyObject),
    }),
  ),
  /** Used by hosts for what has no Linux field. */
  windows: optional(
    looseObject({
      network: optional(
        looseObject({
          /** Id of the network namespace whose adapters the container gets. */
          networkNamespace: optional(v.string()),
        }),
      ),
      /** Assigned devices, by VMBus instance id. */
      devices: optional(v.array(looseObject({ id: v.string(), idType: v.string() }))),
    }),
  ),
});

export type OciProcess = v.InferOutput<typeof ociProcess>;
export type OciMount = v.InferOutput<typeof ociMount>;
export type OciSpec = v.InferOutput<typeof ociSpec>;
