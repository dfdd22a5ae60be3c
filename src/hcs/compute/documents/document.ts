/** The version 2 document that describes a compute system, and version 1's. */
import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";
import type { OciSpec } from "../../../protocol/schemas/oci.ts";
import {
  type ContainerDocument,
  container,
  text,
  type VirtualMachineDocument,
  version,
  virtualMachine,
} from "./document-parts.ts";
import { parseStrictly } from "./strict.ts";
import { type ContainerConfig, type ParsedV1, parseContainerConfig } from "./v1-config.ts";

export type { ContainerDocument, VirtualMachineDocument };

/** An OCI container, as hcsshim hosts it in a Linux utility VM. */
const hostedOci = v.strictObject({
  SchemaVersion: v.optional(version),
  OciSpecification: v.custom<OciSpec>(
    (value) => typeof value === "object" && value !== null,
    "expected an object",
  ),
  /** In the utility VM. Default: the driver's choice. */
  OciBundlePath: v.optional(v.string()),
  /** In the utility VM. */
  ScratchDirPath: v.optional(v.string()),
});

const hostedContainer = v.strictObject({ SchemaVersion: v.optional(version), Container: container });

const common = {
  Owner: v.optional(v.string()),
  SchemaVersion: v.optional(version),
  /** Ends the system when nobody has a handle to it any more. */
  ShouldTerminateOnLastHandleClosed: v.optional(v.boolean()),
};

const vmDocument = v.strictObject({ ...common, VirtualMachine: virtualMachine });
/** Version 1's kind of system in version 2's words: a container and the VM that comes and goes with it. */
const pairDocument = v.strictObject({ ...common, VirtualMachine: virtualMachine, Container: container });
const ociDocument = v.strictObject({ ...common, HostingSystemId: text, HostedSystem: hostedOci });
const hostedDocument = v.strictObject({ ...common, HostingSystemId: text, HostedSystem: hostedContainer });
const containerDocument = v.strictObject({ ...common, HostingSystemId: text, Container: container });

export type HostedOciDocument = v.InferOutput<typeof hostedOci>;
type Common = { Owner?: string | undefined; ShouldTerminateOnLastHandleClosed?: boolean | undefined };

/** What createComputeSystem takes: a virtual machine, a container in one, both as one system, or version 1's. */
export type ComputeSystemDocument =
  | ContainerConfig
  | v.InferInput<typeof vmDocument>
  | v.InferInput<typeof pairDocument>
  | v.InferInput<typeof ociDocument>
  | v.InferInput<typeof hostedDocument>
  | v.InferInput<typeof containerDocument>;

export type ParsedDocument = { owner: string; terminateOnLastHandleClosed: boolean } & (
  | { kind: "vm"; vm: VirtualMachineDocument }
  | { kind: "container"; hostingSystemId: string; container: ContainerDocument }
  | { kind: "oci"; hostingSystemId: string; hosted: HostedOciDocument }
  | { kind: "v1"; config: ParsedV1 }
);

const SECTIONS = [
  ...["Owner", "SchemaVersion", "ShouldTerminateOnLastHandleClosed"],
  ...["VirtualMachine", "Container", "HostingSystemId", "HostedSystem"],
];

/** @throws AgentError INVALID_JSON (ErrVmcomputeInvalidJSON) naming the part that is missing, wrong or not known */
export function parseDocument(given: unknown): ParsedDocument {
  const document = withoutUndefined(given);
  const has = (value: unknown, name: string) => typeof value === "object" && value !== null && name in value;
  if (has(document, "SystemType") || has(document, "ContainerType")) {
    const config = parseContainerConfig(document);
    const { owner, terminateOnLastHandleClosed } = config;
    return { owner, terminateOnLastHandleClosed, kind: "v1", config };
  }
  checkSections(document);
  if (has(document, "VirtualMachine") && has(document, "Container")) {
    const parsed = parseStrictly(pairDocument, document, "document");
    const { VirtualMachine: vm, Container } = parsed;
    const common = commonOf(parsed);
    return {
      ...common,
      kind: "v1",
      config: { ...common, name: undefined, vm, container: Container, disks: [] },
    };
  }
  if (has(document, "VirtualMachine")) {
    const parsed = parseStrictly(vmDocument, document, "document");
    return { ...commonOf(parsed), kind: "vm", vm: parsed.VirtualMachine };
  }
  if (has(document, "Container")) {
    const parsed = parseStrictly(containerDocument, document, "document");
    return {
      ...commonOf(parsed),
      kind: "container",
      hostingSystemId: parsed.HostingSystemId,
      container: parsed.Container,
    };
  }
  if (has(document.HostedSystem, "Container")) {
    const parsed = parseStrictly(hostedDocument, document, "document");
    const { HostingSystemId: hostingSystemId, HostedSystem } = parsed;
    return { ...commonOf(parsed), kind: "container", hostingSystemId, container: HostedSystem.Container };
  }
  const parsed = parseStrictly(ociDocument, document, "document");
  return {
    ...commonOf(parsed),
    kind: "oci",
    hostingSystemId: parsed.HostingSystemId,
    hosted: parsed.HostedSystem,
  };
}

/** What a program left undefined is not there. */
function withoutUndefined(document: unknown): Record<string, unknown> {
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    const what = Array.isArray(document) ? "an array" : document === null ? "null" : typeof document;
    throw new AgentError("INVALID_JSON", `document must be an object, not ${what}`);
  }
  return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined));
}

/** What is misspelled is named, rather than what is missing because of it. */
function checkSections(document: Readonly<Record<string, unknown>>): void {
  for (const name of Object.keys(document)) {
    if (SECTIONS.includes(name)) continue;
    const meant = SECTIONS.find((section) => section.toLowerCase() === name.toLowerCase());
    const remedy = meant === undefined ? "leave it out" : `did you mean ${meant}?`;
    throw new AgentError("INVALID_JSON", `document: ${name} is not known here; ${remedy}`);
  }
  if ("VirtualMachine" in document || "HostingSystemId" in document) return;
  const remedy =
    "give VirtualMachine, for a virtual machine; HostingSystemId with HostedSystem or Container, for a container in one; or VirtualMachine with Container, for both as one system";
  throw new AgentError("INVALID_JSON", `document: HostingSystemId is missing, and VirtualMachine; ${remedy}`);
}

function commonOf(parsed: Common) {
  return {
    owner: parsed.Owner ?? "",
    terminateOnLastHandleClosed: parsed.ShouldTerminateOnLastHandleClosed ?? false,
  };
}
