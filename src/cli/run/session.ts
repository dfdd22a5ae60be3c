import { AgentError } from "../../common/errors.ts";
import type { UtilityVm } from "../../hcs/uvm/utility-vm.ts";
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
  /** Added to the kernel's command line. */
  readonly append: string | undefined;
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
    const { LocalUvm } = await import("../../hcs/uvm/local/local-uvm.ts");
    return await LocalUvm.start(common);
  }
  const [{ QemuUvm }, { findImage }] = await Promise.all([
    import("../../hcs/uvm/qemu/qemu-uvm.ts"),
    import("../image.ts"),
  ]);
  const { kernel, initrd, append, vmMemoryMiB, cpus, accelerator, console } = options;
  const image = await findImage({
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
  });
  const booting = QemuUvm.start({
    ...common,
    ...image,
    ...(vmMemoryMiB !== undefined && { memoryMiB: vmMemoryMiB }),
    ...(cpus !== undefined && { cpus }),
    ...(accelerator !== undefined && { accelerator }),
    ...(console !== undefined && { consoleFile: console }),
    ...(append !== undefined && { kernelArguments: append.split(" ") }),
    onStage: (stage, ms) => progress.reached(stage, ms),
  });
  return await booting.catch((error: unknown) => {
    throw withBootHint(error, console);
  });
}

/** A guest that began and did not get there: where to look next. */
function withBootHint(error: unknown, consoleFile: string | undefined): unknown {
  if (!(error instanceof AgentError) || !/console/.test(error.message)) return error;
  // What was given was wrong: nothing has begun.
  if (error.code === "INVALID_ARGUMENT") return error;
  const hint =
    consoleFile === undefined
      ? "--console FILE keeps all that its kernel prints, --append TEXT adds to the kernel's command line"
      : `all that its kernel printed is in ${consoleFile}; --append TEXT adds to the kernel's command line`;
  return new AgentError(error.code, `${error.message}\nTo look into it: ${hint}`, { cause: error.cause });
}
