import { AgentError } from "../errors.ts";
import { NullTransport } from "./null-transport.ts";
import type { Transport } from "./transport.ts";
import { UnixTransport } from "./unix-transport.ts";
import { VsockTransport } from "./vsock-transport.ts";

/** The transport that a flag names: "vsock", "unix:PREFIX" or "null". @throws AgentError INVALID_ARGUMENT */
export function transportFromFlag(flag: string): Transport {
  if (flag === "vsock") return new VsockTransport();
  if (flag === "null") return new NullTransport();
  const prefix = flag.startsWith("unix:") ? flag.slice("unix:".length) : "";
  if (prefix !== "") return new UnixTransport(prefix);
  throw new AgentError(
    "INVALID_ARGUMENT",
    `transport "${flag}" is unknown: use vsock, unix:PREFIX (port P is the socket PREFIX_P) or null`,
  );
}
