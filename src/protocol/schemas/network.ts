import * as v from "valibot";
import { nonEmptyString, object, optional, u8, u16 } from "./base.ts";

/** ModifySettings: a network adapter in a network namespace. An absent number means 0, an absent flag false. */
export const networkAdapter = object({
  /** The namespace that the adapter belongs to; containers name it in windows.network.networkNamespace. */
  NamespaceID: optional(v.string()),
  /** The adapter's VMBus instance id, a GUID: how the guest finds the device. */
  ID: nonEmptyString,
  MacAddress: optional(v.string()),
  /** DNS search domains, separated by commas (the name is historical). */
  DNSSuffix: optional(v.string()),
  /** Addresses of name servers, separated by commas. */
  DNSServerList: optional(v.string()),
  /** Bytes by which the MTU is lowered to leave room for encapsulation. */
  EncapOverhead: optional(u16),
  /** Whether the adapter is an assigned PCI device rather than a synthetic one. */
  VPCIAssigned: optional(v.boolean()),
  IPConfigs: optional(
    v.array(
      object({
        /** IPv4 or IPv6. */
        IPAddress: optional(v.string()),
        /** Bits. */
        PrefixLength: optional(u8),
      }),
    ),
  ),
  Routes: optional(
    v.array(
      object({
        /** Address of the gateway. */
        NextHop: optional(v.string()),
        /** Address/bits. */
        DestinationPrefix: optional(v.string()),
        /** 0 to 65535, lowest preferred. */
        Metric: optional(u16),
      }),
    ),
  ),
  /** Whether answers leave by the adapter whose address they come from. */
  PolicyBasedRouting: optional(v.boolean()),
  /** With PolicyBasedRouting: whether the adapter's routes get a large metric, so that others are preferred. */
  EnableLowMetric: optional(v.boolean()),
});

export type NetworkAdapter = v.InferOutput<typeof networkAdapter>;
