import type { UtilityVm } from "../../hcs/utility-vm.ts";
import { printError } from "../output.ts";
import type { Progress } from "../progress.ts";

/** Where a container runs, as the command line says it. */
export interface SessionOptions {
  /** Without a virtual machine. */
  readonly local: boolean;
  readonly ociRuntime: string | undefined;
  readonly logLevel: string | undefined;
  /** The rest is the virtual machine's. MiB. */
  readonly vmMemoryMiB: number | undefined;
  readonly cpus: number | undefined;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly accelerator: "auto" | "kvm" | "tcg" | undefined;
  readonly console: string | undefined;
}

/** The guest that the container runs in. */
export async function startUtilityVm(
  options: SessionOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<UtilityVm> {
  const { ociRuntime, logLevel } = options;
  const common = {
    signal,
    ...(ociRuntime !== undefined && { ociRuntime }),
    ...(logLevel !== undefined && { logLevel, onLog: (text: string) => printError(text) }),
  };
  if (options.local) {
    const { LocalUvm } = await import("../../hcs/local-uvm.ts");
    return await LocalUvm.start(common);
  }
  const [{ QemuUvm }, { findImage }] = await Promise.all([
    import("../../hcs/qemu-uvm.ts"),
    import("../image.ts"),
  ]);
  const { kernel, initrd, vmMemoryMiB, cpus, accelerator, console } = options;
  const image = await findImage({
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
  });
  return await QemuUvm.start({
    ...common,
    ...image,
    ...(vmMemoryMiB !== undefined && { memoryMiB: vmMemoryMiB }),
    ...(cpus !== undefined && { cpus }),
    ...(accelerator !== undefined && { accelerator }),
    ...(console !== undefined && { consoleFile: console }),
    onStage: (stage, ms) => progress.reached(stage, ms),
  });
}
