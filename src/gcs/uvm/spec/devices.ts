/** Device nodes of a workload. Source: hcsshim internal/guest/spec (spec.go, spec_devices.go). */
import type { Device } from "../../../linux/devices.ts";
import type { OciSpec } from "../../../protocol/schemas/oci.ts";

type Linux = NonNullable<OciSpec["linux"]>;

/** A container as mighty as the VM: all its devices, and no rule that keeps it from any. */
export function withAllDevices(linux: Linux, devices: readonly Device[]): Linux {
  const named = new Map((linux.devices ?? []).map((device) => [device.path, device]));
  for (const device of devices) if (isReal(device)) named.set(device.path, nodeOf(device));
  return {
    ...linux,
    devices: [...named.values()],
    resources: { ...linux.resources, devices: [{ allow: true, access: "rwm" }] },
  };
}

/** The devices that the host named, as they are in this VM, and a rule for each. */
export function withDevices(linux: Linux, devices: readonly Device[]): Linux {
  const named = new Map(devices.filter(isReal).map((device) => [device.path, device]));
  if (named.size === 0) return linux;
  return {
    ...linux,
    devices: [...named.values()].map(nodeOf),
    resources: {
      ...linux.resources,
      devices: [
        ...(linux.resources?.devices ?? []),
        ...[...named.values()].map((device) => ruleFor(device, "rwm")),
      ],
    },
  };
}

/** A rule for a disk that is bound into the container. */
export function withBlockDevice(linux: Linux, device: Device, readonly: boolean): Linux {
  return {
    ...linux,
    resources: {
      ...linux.resources,
      devices: [...(linux.resources?.devices ?? []), ruleFor(device, readonly ? "r" : "rwm")],
    },
  };
}

/** 0:0 is what stands for a device where there is none. */
function isReal({ major, minor }: Device): boolean {
  return major !== 0 || minor !== 0;
}

function nodeOf({ path, type, major, minor, uid, gid }: Device) {
  return { path, type, major, minor, uid, gid };
}

function ruleFor({ type, major, minor }: Device, access: "r" | "rwm") {
  return { allow: true, type, major, minor, access };
}
