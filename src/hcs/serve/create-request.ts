import * as v from "valibot";
import type { ComputeSystemDocument } from "../compute/document.ts";
import { LocalDriver } from "../compute/local-driver.ts";
import type { ProcessParameters } from "../compute/schema2.ts";
import type { CreateOptions } from "../compute/service.ts";
import { parseStrictly } from "../compute/strict.ts";

const schema = v.strictObject({
  id: v.string(),
  /** Checked by the compute service. */
  document: v.optional(v.unknown()),
  /** What start() starts as the container's first process; checked when it is started. */
  init: v.optional(v.record(v.string(), v.unknown())),
  /** "local": without a virtual machine, as root on this machine. Default "qemu". */
  driver: v.optional(v.picklist(["qemu", "local"])),
});

export interface CreateRequest {
  readonly id: string;
  readonly document: ComputeSystemDocument;
  readonly init: ProcessParameters | undefined;
  readonly options: CreateOptions;
}

/** The body of `POST /systems`. @throws AgentError INVALID_JSON naming the field that is wrong or not known */
export function parseCreateRequest(body: unknown): CreateRequest {
  const { id, document, init, driver } = parseStrictly(schema, body, "request");
  return {
    id,
    document: document as ComputeSystemDocument,
    init,
    options: driver === "local" ? { driver: new LocalDriver() } : {},
  };
}
