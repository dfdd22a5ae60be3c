import type * as cow from "./cow.ts";
import { withExactIntegers } from "./documents/exact-integer.ts";
import type { ContainerProperties, PropertyTypeV1, Statistics } from "./documents/schema1.ts";
import type { Properties, PropertyTypeV2 } from "./documents/schema2.ts";
import { ErrNotSupported } from "./error-codes.ts";
import { coded } from "./errors.ts";
import { statisticsOf } from "./statistics.ts";
import type { SystemRecord } from "./system-record.ts";

/** What getComputeSystems() tells of a system, too. */
export function basicProperties(record: SystemRecord): ContainerProperties {
  const { id, kind, options, exitType, isStopped } = record;
  return {
    Id: id,
    State: record.state,
    Name: options.name ?? id,
    SystemType: kind.type,
    RuntimeOsType: "Linux",
    Owner: options.owner,
    RuntimeId: record.runtimeId,
    ...(isStopped && { Stopped: true }),
    ...(exitType !== undefined && { ExitType: exitType }),
  };
}

export async function propertiesOf(
  record: SystemRecord,
  types: readonly PropertyTypeV1[],
  options: cow.CallOptions,
): Promise<ContainerProperties> {
  let result = basicProperties(record);
  for (const type of types) result = { ...result, ...(await propertyOf(record, type, options)) };
  return result;
}

async function propertyOf(
  record: SystemRecord,
  type: PropertyTypeV1,
  options: cow.CallOptions,
): Promise<Partial<ContainerProperties>> {
  switch (type) {
    case "Statistics":
      return { Statistics: await statistics(record, options) };
    case "ProcessList":
      record.expectRunning("list processes");
      return await record.kind.processList(options);
    case "MappedVirtualDisk":
      return { MappedVirtualDiskControllers: record.kind.disks() };
    case "GuestConnection": {
      const info = record.kind.guestConnection();
      return info === undefined ? {} : { GuestConnectionInfo: info };
    }
    default:
      throw coded(ErrNotSupported, `there is no property ${String(type satisfies never)}`);
  }
}

async function statistics(record: SystemRecord, options: cow.CallOptions): Promise<Statistics> {
  record.expectRunning("read statistics");
  return statisticsOf(await record.kind.metrics(options), record.startedAt);
}

export async function propertiesV2Of(
  record: SystemRecord,
  types: readonly PropertyTypeV2[],
  options: cow.CallOptions,
): Promise<Properties> {
  const { Id, State, Name, SystemType, Owner, RuntimeId = "", Stopped, ExitType } = basicProperties(record);
  const hostingSystemId = record.kind.hostingSystemId;
  let result: Properties = {
    ...{ Id, State, Name, SystemType, Owner, RuntimeId, RuntimeOsType: "Linux" },
    ...(Stopped && { Stopped }),
    ...(ExitType !== undefined && { ExitType }),
    ...(hostingSystemId !== undefined && { HostingSystemId: hostingSystemId }),
  };
  for (const type of types) result = { ...result, ...(await propertyV2Of(record, type, options)) };
  return result;
}

async function propertyV2Of(
  record: SystemRecord,
  type: PropertyTypeV2,
  options: cow.CallOptions,
): Promise<Partial<Properties>> {
  const { kind } = record;
  switch (type) {
    case "Statistics": {
      record.expectRunning("read statistics");
      const metrics = await kind.metrics(options);
      const { Network: _, ...common } = statisticsOf(metrics, record.startedAt);
      const LCOWMetrics = withExactIntegers(metrics) as Readonly<Record<string, unknown>>;
      return { Statistics: common, LCOWMetrics };
    }
    case "ProcessList":
      record.expectRunning("list processes");
      return await kind.processList(options);
    case "TerminateOnLastHandleClosed":
      return { TerminateOnLastHandleClosed: record.options.terminateOnLastHandleClosed };
    case "SystemGUID":
      return { SystemGUID: record.runtimeId };
    case "Memory": {
      const AssignedMemory = kind.assignedMemory();
      if (AssignedMemory === undefined) throw coded(ErrNotSupported, "Memory: only a VM with a size has it");
      return { Memory: { VirtualMachineMemory: { AssignedMemory } } };
    }
    case "GuestConnection": {
      const info = kind.guestConnection();
      return info === undefined ? {} : { GuestConnectionInfo: info };
    }
    default:
      throw coded(ErrNotSupported, `there is no property ${String(type satisfies never)}`);
  }
}
