import * as v from "valibot";
import { AgentError } from "../../common/errors.ts";
import type { ComputeSystemDocument } from "../compute/documents/document.ts";
import type { ProcessParameters } from "../compute/documents/schema2.ts";
import { parseStrictly } from "../compute/documents/strict.ts";
import { LocalDriver } from "../compute/drivers/local-driver.ts";
import { QemuDriver, type QemuDriverOptions } from "../compute/drivers/qemu-driver.ts";
import type { CreateOptions } from "../compute/service.ts";
import type { AgentRecord } from "../uvm/local/agent-record.ts";

const schema = v.strictObject({
  id: v.string(),
  /** Checked by the compute service. */
  document: v.optional(v.unknown()),
  /** What start() starts as the container's first process; checked when it is started. */
  init: v.optional(v.record(v.string(), v.unknown())),
  /** "local": without a virtual machine, as root on this machine. Default "qemu". */
  driver: v.optional(v.picklist(["qemu", "local"])),
  /** runc, crun, or the path of one like them. */
  ociRuntime: v.optional(v.pipe(v.string(), v.minLength(1))),
  /** Of the machine; see QemuDriverOptions. */
  accelerator: v.optional(v.picklist(["auto", "kvm", "tcg"])),
  /** Gets a copy of what the guest writes on its console. */
  consoleFile: v.optional(v.pipe(v.string(), v.startsWith("/", "expected an absolute path"))),
  /** What the agent logs goes to the keeper's own log. */
  logLevel: v.optional(v.picklist(["trace", "debug", "info", "warning", "error", "fatal"])),
  /** It is removed when it has ended. */
  removeAtEnd: v.optional(v.boolean()),
});

type OnStage = NonNullable<QemuDriverOptions["onStage"]>;

export interface CreateRequest {
  readonly id: string;
  readonly document: ComputeSystemDocument;
  readonly init: ProcessParameters | undefined;
  readonly options: CreateOptions;
  readonly removeAtEnd: boolean;
  /** What was asked of the driver, as it was asked. */
  readonly machine: MachineRequest;
}

/** What is told of the machine that is made. */
export interface MachineEvents {
  readonly onStage: OnStage;
  /** Of an agent on this machine. */
  readonly onAgent: (agent: AgentRecord) => void;
}

/** The body of `POST /systems`. @throws AgentError INVALID_JSON naming the field that is wrong or not known */
export function parseCreateRequest(body: unknown, events: MachineEvents): CreateRequest {
  const { id, document, init, removeAtEnd = false, ...machine } = parseStrictly(schema, body, "request");
  return {
    id,
    document: document as ComputeSystemDocument,
    init,
    options: { ...makeDriver(machine, events) },
    removeAtEnd,
    machine,
  };
}

export type MachineRequest = Omit<v.InferOutput<typeof schema>, "id" | "document" | "init" | "removeAtEnd">;

/** Nothing where the service's own driver does. @throws AgentError NOT_SUPPORTED */
function makeDriver(
  request: MachineRequest,
  { onStage, onAgent }: MachineEvents,
): Pick<CreateOptions, "driver"> {
  const { driver = "qemu", ociRuntime, logLevel, accelerator, consoleFile } = request;
  const common = {
    ...(ociRuntime !== undefined && { ociRuntime }),
    ...(logLevel !== undefined && { logLevel, onLog: (text: string) => void process.stderr.write(text) }),
  };
  const machine = {
    ...(accelerator !== undefined && { accelerator }),
    ...(consoleFile !== undefined && { consoleFile }),
  };
  if (driver === "local") {
    const [surplus] = Object.keys(machine);
    if (surplus === undefined) return { driver: new LocalDriver({ ...common, onAgent }) };
    throw new AgentError(
      "NOT_SUPPORTED",
      `request: ${surplus} is about a virtual machine; driver local has none`,
    );
  }
  const options = { ...common, ...machine };
  return Object.keys(options).length === 0 ? {} : { driver: new QemuDriver({ ...options, onStage }) };
}
