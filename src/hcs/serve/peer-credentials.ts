import type { Socket } from "node:net";
import { AgentError } from "../../common/errors.ts";
import { descriptorOf } from "../transport/socket-descriptor.ts";

/** <sys/socket.h> of Linux on x86 and ARM. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid and gid of 4 bytes each; unix(7). */
const UCRED_BYTES = 12;
const UID_OFFSET = 4;

type GetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: number[]) => number;
let getsockopt: Promise<GetSockOpt> | undefined;

async function bind(): Promise<GetSockOpt> {
  const { default: koffi } = await import("koffi");
  const library = koffi.load("libc.so.6");
  return library.func("int getsockopt(int, int, int, _Out_ uint8_t *, _Inout_ uint32_t *)") as GetSockOpt;
}

/**
 * The user that has connected, as the kernel noted it then.
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export async function peerUser(socket: Socket): Promise<number> {
  getsockopt ??= bind();
  const call = await getsockopt;
  const fd = descriptorOf(socket);
  const credentials = Buffer.alloc(UCRED_BYTES);
  if (call(fd, SOL_SOCKET, SO_PEERCRED, credentials, [UCRED_BYTES]) !== 0) {
    throw new AgentError("SYSTEM_CALL_FAILED", "cannot tell who has connected (getsockopt SO_PEERCRED)");
  }
  return credentials.readUInt32LE(UID_OFFSET);
}

/** Whether the user may command a service of ours: ourselves and root. */
export function isAllowed(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}
