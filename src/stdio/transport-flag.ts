import { AgentError } from "../common/errors.ts";
import { NullTransport } from "./null-transport.ts";
import type { Transport } from "./transport.ts";
import { UnixTransport } from "./unix-transport.ts";
import { VsockTransport } from "./vsock-transport.ts";

/** sizeof(sockaddr_un.sun_path) less the terminating NUL, unix(7), and the largest port behind the prefix. */
const LONGEST_PREFIX_BYTES = 108 - 1 - "_4294967295".length;

/** Set by a utility VM's /init where a forwarder in the guest carries the streams to the host. */
export const TRANSPORT_VARIABLE = "GCS_TRANSPORT";

/**
 * The transport that a flag names: "vsock", "unix:PREFIX", "forwarder:PREFIX" or "null".
 * @throws AgentError INVALID_ARGUMENT
 */
export function transportFromFlag(flag: string): Transport {
  if (flag === "vsock") return new VsockTransport();
  if (flag === "null") return new NullTransport();
  const prefix = /^(?:unix|forwarder):(.+)$/s.exec(flag)?.[1];
  if (prefix !== undefined && Buffer.byteLength(prefix) > LONGEST_PREFIX_BYTES) {
    const message = `transport "${flag}" is too long for the name of a socket: at most ${LONGEST_PREFIX_BYTES} bytes`;
    throw new AgentError("INVALID_ARGUMENT", message);
  }
  if (prefix !== undefined) return new UnixTransport(prefix);
  throw new AgentError(
    "INVALID_ARGUMENT",
    `transport "${flag}" is unknown: use vsock, unix:PREFIX or forwarder:PREFIX (port P is the socket PREFIX_P) or null`,
  );
}

/** Whether the transport leads out of a utility VM, whose agent this is then; else the machine is somebody else's. */
export function isUtilityVm(flag: string): boolean {
  return flag === "vsock" || flag.startsWith("forwarder:");
}
