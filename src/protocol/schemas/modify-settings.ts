import * as v from "valibot";
import { AgentError } from "../../common/errors.ts";
import { looseObject, object, optional, requestBase } from "./base.ts";
import { networkAdapter } from "./network.ts";
import {
  containerConstraints,
  containerExecutionState,
  securityPolicy,
  securityPolicyFragment,
  vpciDevice,
} from "./policy.ts";
import { combinedLayers, mappedDirectory, mappedVirtualDisk, scsiDevice, vpmemDevice } from "./storage.ts";

const REQUEST_TYPES = ["Add", "Remove", "Update"] as const;
export type ModifyRequestType = (typeof REQUEST_TYPES)[number];

const requestType = v.pipe(
  // Hosts leave it out for Add.
  v.nullish(v.string(), "Add"),
  v.check((text) => text === "" || REQUEST_TYPES.some((type) => type === text), REQUEST_TYPES.join(", ")),
  v.transform((text) => (text === "" ? "Add" : text) as ModifyRequestType),
);

function resource<const TType extends string, const TSettings extends v.GenericSchema<unknown, unknown>>(
  type: TType,
  settings: TSettings,
) {
  return object({ ResourceType: v.literal(type), RequestType: requestType, Settings: settings });
}

const resources = [
  resource("SCSIDevice", scsiDevice),
  resource("MappedVirtualDisk", mappedVirtualDisk),
  resource("MappedDirectory", mappedDirectory),
  resource("VPMemDevice", vpmemDevice),
  resource("CombinedLayers", combinedLayers),
  resource("Network", networkAdapter),
  resource("VPCIDevice", vpciDevice),
  resource("ContainerConstraints", containerConstraints),
  resource("ContainerExecutionState", containerExecutionState),
  resource("SecurityPolicy", securityPolicy),
  resource("SecurityPolicyFragment", securityPolicyFragment),
  // Sets the memory limit of the pods' cgroup anew from the memory there is; nothing to say.
  object({
    ResourceType: v.literal("PodCgroupMemoryLimit"),
    RequestType: requestType,
    Settings: optional(object({})),
  }),
] as const;

/** Every resource that ModifySettings knows. */
export const RESOURCE_TYPES = resources.map((schema) => schema.entries.ResourceType.literal);

const modification = v.variant("ResourceType", resources);

/** First of all whether the resource is known: the variant would only list every name it expected. */
const knownResource = v.pipe(
  looseObject({ ResourceType: v.string() }),
  v.check(({ ResourceType }) => {
    if (RESOURCE_TYPES.some((type) => type === ResourceType)) return true;
    const shown = JSON.stringify(ResourceType.slice(0, 64));
    throw new AgentError(
      "NOT_SUPPORTED",
      `the resource type ${shown} is not known; known are ${RESOURCE_TYPES.join(", ")}`,
    );
  }),
  v.transform((request) => request as v.InferInput<typeof modification>),
);

export const modifyRequest = object({
  ...requestBase,
  Request: v.pipe(knownResource, modification),
});

/** What to change, and how: a union discriminated by ResourceType. */
export type ModifySettingsRequest = v.InferOutput<typeof modification>;
export type ResourceType = ModifySettingsRequest["ResourceType"];
