import * as v from "valibot";
import { jsonText, looseObject, object, optional, requestBase, u32 } from "./base.ts";
import { responseBase } from "./response.ts";

const query = object({
  /** "ProcessList" and "Statistics" are answered; the guest ignores others. */
  PropertyTypes: optional(v.array(v.string())),
});

export const getPropertiesRequest = object({
  ...requestBase,
  /** JSON in a string on the wire; an empty string or none asks for nothing. */
  Query: v.pipe(
    v.nullish(v.string(), ""),
    v.transform((text) => text || "{}"),
    jsonText(query),
  ),
});

export const properties = object({
  /** By number; the first of them where a reply has no room for all. */
  ProcessList: optional(v.array(object({ ProcessId: u32 }))),
  /** How many there are, where ProcessList has not all; an extension of this guest's. */
  ProcessCount: optional(u32),
  /** The statistics of the container's cgroup; the names are those of containerd's cgroup v1 metrics. */
  LCOWMetrics: optional(looseObject({})),
});

export const getPropertiesResponse = object({
  ...responseBase,
  /** JSON in a string on the wire. */
  Properties: jsonText(properties),
});

export type Properties = v.InferOutput<typeof properties>;
