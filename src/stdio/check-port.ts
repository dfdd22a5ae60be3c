import { AgentError } from "../common/errors.ts";

/** @throws AgentError INVALID_ARGUMENT */
export function checkPort(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 0xffffffff) {
    throw new AgentError("INVALID_ARGUMENT", `port ${port} is not an integer from 0 to 4294967295`);
  }
  return port;
}
