import * as v from "valibot";
import { containerId, i32, object, optional } from "./base.ts";

export const notification = object({
  ContainerId: containerId,
  /** That of the request which created the container. */
  ActivityId: optional(v.string()),
  /**
   * How init ended: "GracefulExit" after ShutdownGraceful, "ForcedExit" after ShutdownForced, "UnexpectedExit" by
   * itself. Hosts take any string.
   */
  Type: v.string(),
  /** "None". */
  Operation: optional(v.string()),
  /** HRESULT as a signed 32-bit number; 0. */
  Result: i32,
  /** JSON in a string. Never send it empty: hosts fail to parse that. */
  ResultInfo: optional(v.string()),
});

export type ExitType = "GracefulExit" | "ForcedExit" | "UnexpectedExit";
export type Notification = v.InferOutput<typeof notification>;
