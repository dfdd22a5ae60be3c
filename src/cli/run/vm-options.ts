import type { OptionDescription, ParsedArguments } from "../arguments.ts";
import { UsageError } from "../arguments.ts";
import type { SessionOptions } from "./session.ts";

const ACCELERATORS = ["auto", "kvm", "tcg"] as const;
const MIB = 1024 * 1024;

/** Options about the virtual machine, shared by the commands that start one. */
export const VM_OPTIONS: readonly OptionDescription[] = [
  { name: "cpus", value: "N", help: "virtual CPUs (default 2; emulated 1)" },
  { name: "kernel", value: "FILE", help: "the guest's kernel (default: the image's, built when missing)" },
  { name: "initrd", value: "FILE", help: "the guest's initrd (default: the image's)" },
  {
    name: "accelerator",
    value: "NAME",
    help: "auto, kvm or tcg; auto takes KVM where it really runs a guest (default)",
  },
  { name: "console", value: "FILE", help: "keep a copy of the guest's console" },
];

/** @param memoryBytes of the machine. @throws UsageError */
export function readVmOptions(
  found: ParsedArguments,
  memoryBytes: number | undefined,
): Pick<SessionOptions, "vmMemoryMiB" | "cpus" | "kernel" | "initrd" | "accelerator" | "console"> {
  const cpus = found.value("cpus");
  if (cpus !== undefined && !/^[1-9]\d{0,2}$/.test(cpus)) {
    throw new UsageError(`--cpus ${cpus}: expected a number, such as 2`);
  }
  const named = found.value("accelerator");
  const accelerator = ACCELERATORS.find((name) => name === named);
  if (named !== undefined && accelerator === undefined) {
    throw new UsageError(`--accelerator ${named} is none of ${ACCELERATORS.join(", ")}`);
  }
  return {
    vmMemoryMiB: memoryBytes === undefined ? undefined : Math.floor(memoryBytes / MIB),
    cpus: cpus === undefined ? undefined : Number(cpus),
    kernel: found.value("kernel"),
    initrd: found.value("initrd"),
    accelerator,
    console: found.value("console"),
  };
}

/** @param unit what a number without a suffix counts, bytes. @throws UsageError */
export function readSize(option: string, text: string, unit: number): number {
  const [, digits = "", suffix = ""] = /^(\d+)([kmg]?)b?$/i.exec(text) ?? [];
  const factor = suffix === "" ? unit : 1024 ** ["", "k", "m", "g"].indexOf(suffix.toLowerCase());
  const bytes = Number(digits) * factor;
  if (digits === "" || bytes === 0 || !Number.isSafeInteger(bytes)) {
    throw new UsageError(`${option} ${text}: expected a size, such as 512m or 2g`);
  }
  return bytes;
}
