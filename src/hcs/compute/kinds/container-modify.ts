import * as v from "valibot";
import type { GuestContainer } from "../../guest/guest-container.ts";
import type { CallOptions } from "../cow.ts";
import { checkModification } from "../documents/modify-request.ts";
import type { ModifySettingRequest } from "../documents/schema2.ts";
import { parseStrictly } from "../documents/strict.ts";
import { ErrNotSupported } from "../error-codes.ts";
import { coded } from "../errors.ts";

const MEBIBYTE = 1024 * 1024;
const CPU_PERIOD = 100_000;

const memory = v.pipe(v.number(), v.integer(), v.minValue(1));
const processor = v.strictObject({
  Count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  Maximum: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
  Weight: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
});
const constraints = v.strictObject({ Linux: v.record(v.string(), v.unknown()) });

/**
 * Changes a container's limits: "Container/Memory/SizeInMB" (a number), "Container/Processor" (Count, Maximum or
 * Weight), or the guest's resource ContainerConstraints.
 * @throws ErrNotSupported naming any other resource; AgentError INVALID_JSON
 */
export async function modifyContainer(
  container: GuestContainer,
  request: ModifySettingRequest,
  options: CallOptions,
): Promise<void> {
  const { path, settings, guest } = checkModification(request);
  if (path !== undefined) await container.update(resourcesOf(path, settings), options);
  if (guest === undefined) return;
  if (guest.ResourceType !== "ContainerConstraints") {
    throw coded(ErrNotSupported, `the guest cannot change ${guest.ResourceType} of a container`);
  }
  await container.update(
    parseStrictly(constraints, guest.Settings, "modify request: Settings").Linux,
    options,
  );
}

function resourcesOf(path: string, settings: unknown): Record<string, unknown> {
  if (path === "Container/Memory/SizeInMB") {
    return { memory: { limit: parseStrictly(memory, settings, `modify request: ${path}`) * MEBIBYTE } };
  }
  if (path !== "Container/Processor") {
    throw coded(ErrNotSupported, `${path}: of a container only its limits can be changed`);
  }
  const { Count, Maximum, Weight } = parseStrictly(processor, settings, `modify request: ${path}`);
  const quota = Count === undefined ? Maximum && Maximum * (CPU_PERIOD / 10_000) : Count * CPU_PERIOD;
  return {
    cpu: {
      ...(quota !== undefined && { period: CPU_PERIOD, quota: Math.max(1000, quota) }),
      ...(Weight !== undefined && { shares: Math.max(2, Math.round(Weight * 10.24)) }),
    },
  };
}
