import { text } from "node:stream/consumers";
import { AgentError } from "../../../common/errors.ts";
import type { CallOptions } from "../cow.ts";
import type { RunningVm } from "../drivers/driver.ts";

/** The runtime answers in milliseconds; a guest without KVM may need seconds. */
const TIMEOUT_MS = 60_000;

/**
 * Freezes or thaws a container's processes in a guest that does not know GuestContainer.pause(): the bridge of others
 * has no message for it, so the OCI runtime's own command is run in the guest.
 * @throws AgentError RUNTIME_FAILED with what the runtime said
 */
export async function setFrozen(
  vm: RunningVm,
  containerId: string,
  frozen: boolean,
  options: CallOptions = {},
): Promise<void> {
  const { command, root } = vm.runtime;
  const name = frozen ? "pause" : "resume";
  const process = await vm.uvm.guest.createProcess({
    commandArgs: [command, ...(root === undefined ? [] : ["--root", root]), name, containerId],
    environment: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    stderr: true,
    ...options,
  });
  try {
    const [code, said] = await Promise.all([
      process.wait(TIMEOUT_MS, options),
      process.stderr === undefined ? "" : text(process.stderr),
    ]);
    if (code === 0) return;
    throw new AgentError("RUNTIME_FAILED", `${command} ${name} ${containerId} failed: ${said.trim()}`);
  } finally {
    process.close();
  }
}
