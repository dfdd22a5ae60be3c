import * as v from "valibot";
import { anyObject, looseObject, nonEmptyString, object, optional } from "./base.ts";

/** ModifySettings: a PCI device assigned to the utility VM. */
export const vpciDevice = object({
  /** VMBus instance id, a GUID: how the guest waits for the device. */
  VMBusGUID: nonEmptyString,
});

/** ModifySettings: new limits of a container. */
export const containerConstraints = object({
  /** The `linux.resources` of an OCI spec, passed through to the runtime. */
  Linux: optional(looseObject({})),
  /** Sent along by hosts, for containers that are not Linux ones. */
  Windows: optional(anyObject),
});

const EXECUTION_STATES = ["Paused", "Running"] as const;

/** ModifySettings: this project's own, for guests that tell ContainerPauseSupported. */
export const containerExecutionState = object({
  /** Paused: no process of the container runs until it is Running again. */
  State: v.pipe(
    v.string(),
    v.check((text) => EXECUTION_STATES.some((state) => state === text), EXECUTION_STATES.join(" or ")),
    v.transform((text) => text as (typeof EXECUTION_STATES)[number]),
  ),
});

/** ModifySettings: the security policy of a confidential utility VM, once. */
export const securityPolicy = object({
  /** "rego", "standard", "open_door", or empty for the default. */
  EnforcerType: optional(v.string()),
  /** Base64. */
  EncodedSecurityPolicy: optional(v.string()),
  /** Base64: the signed reference of the utility VM's own measurement. */
  EncodedUVMReference: optional(v.string()),
  /** Base64. */
  EncodedUVMHashEnvelopeReference: optional(v.string()),
});

/** ModifySettings: a signed addition to the policy. */
export const securityPolicyFragment = object({
  /** Base64. */
  Fragment: optional(v.string()),
  /** Empty: "application/cose-x509+rego". */
  MediaType: optional(v.string()),
});

export type VpciDevice = v.InferOutput<typeof vpciDevice>;
export type ContainerConstraints = v.InferOutput<typeof containerConstraints>;
export type SecurityPolicy = v.InferOutput<typeof securityPolicy>;
export type SecurityPolicyFragment = v.InferOutput<typeof securityPolicyFragment>;
