import type { Socket } from "node:net";

/** The descriptor of a socket, which Node keeps to itself but for this. @returns -1 for one that is closed */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}
