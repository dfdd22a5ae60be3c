import * as v from "valibot";
import { jsonText, object, optional, requestBase, requestBaseWithoutContainer, u32 } from "./base.ts";
import { ociSpec } from "./oci.ts";
import { responseBase } from "./response.ts";

/** Start, ShutdownGraceful, ShutdownForced and DeleteContainerState say no more than which container they mean. */
export const plainRequest = object(requestBase);
export const plainResponse = object(responseBase);

/** The oldest schema a container may be described in. */
const OLDEST_SCHEMA = { major: 2, minor: 1 };

const schemaVersion = v.pipe(
  object({ Major: u32, Minor: u32 }),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const { Major, Minor } = dataset.value;
    if (Major > OLDEST_SCHEMA.major || (Major === OLDEST_SCHEMA.major && Minor >= OLDEST_SCHEMA.minor)) {
      return dataset.value;
    }
    addIssue({
      message: `expected ${OLDEST_SCHEMA.major}.${OLDEST_SCHEMA.minor} or later, got ${Major}.${Minor}`,
    });
    return NEVER;
  }),
);

const containerConfig = object({
  SchemaVersion: schemaVersion,
  /** Directory in the utility VM for what the agent keeps about the container. */
  OciBundlePath: optional(v.string()),
  OciSpecification: ociSpec,
  /** Directory in the utility VM with the container's writable layer; empty when it has none of its own. */
  ScratchDirPath: optional(v.string()),
});

export const createRequest = object({
  ...requestBase,
  /** JSON in a string on the wire. */
  ContainerConfig: jsonText(containerConfig),
});

export const createResponse = object({
  ...responseBase,
  /** Of use before version 4; 0. */
  SelectedProtocolVersion: optional(u32),
  SelectedVersion: optional(v.string()),
});

export const negotiateRequest = object({
  ...requestBaseWithoutContainer,
  /** Lowest and highest protocol version the host speaks. */
  MinimumVersion: u32,
  MaximumVersion: u32,
});

export const negotiateResponse = object({
  ...responseBase,
  /** The version both sides speak from now on. */
  Version: u32,
  Capabilities: object({
    /** Whether the host should send Create and Start for the utility VM itself. */
    SendHostCreateMessage: optional(v.boolean()),
    SendHostStartMessage: optional(v.boolean()),
    HvSocketConfigOnStartup: optional(v.boolean()),
    /** Versions of the container description that Create takes. */
    SupportedSchemaVersions: optional(v.array(object({ Major: optional(u32), Minor: optional(u32) }))),
    /** "Linux". */
    RuntimeOsType: optional(v.string()),
    GuestDefinedCapabilities: optional(
      object({
        NamespaceAddRequestSupported: optional(v.boolean()),
        SignalProcessSupported: optional(v.boolean()),
        DumpStacksSupported: optional(v.boolean()),
        DeleteContainerStateSupported: optional(v.boolean()),
        /** This project's own: the resource ContainerExecutionState. */
        ContainerPauseSupported: optional(v.boolean()),
      }),
    ),
  }),
});

export const dumpStacksRequest = object(requestBaseWithoutContainer);

export const dumpStacksResponse = object({
  ...responseBase,
  /** Text for people: what the agent is doing. Cut when a frame cannot hold it. */
  GuestStacks: v.string(),
});
