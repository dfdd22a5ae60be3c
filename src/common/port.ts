import { AgentError } from "./errors.ts";

/** vsock ports are 32 bits; the greatest is VMADDR_PORT_ANY, which nobody can listen on or dial; vsock(7). */
const MAX_PORT = 0xffff_ffff - 1;

/** @returns the port. @throws AgentError INVALID_ARGUMENT */
export function checkPort(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new AgentError("INVALID_ARGUMENT", `${port} is no vsock port; use 0 to ${MAX_PORT}`);
  }
  return port;
}
