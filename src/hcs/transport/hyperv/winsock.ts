/**
 * Winsock through koffi, for AF_HYPERV sockets. Not yet run on Windows. Source of names, types and numbers:
 * winsock2.h and hvsocket.h of the Windows SDK, and https://learn.microsoft.com/windows/win32/api/winsock2/
 */
import koffi from "koffi";
import { AgentError } from "../../../common/errors.ts";
import type { Interest, NativeSockets, Ready } from "./native-sockets.ts";

const AF_INET = 2;
const AF_HYPERV = 34;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
/** hvsocket.h. */
const HV_PROTOCOL_RAW = 1;
const SOMAXCONN = 0x7fffffff;
/** _IOW('f', 126, u_long) */
const FIONBIO = 0x8004667e;
const SD_SEND = 1;
const SOCKET_ERROR = -1;
const INVALID_SOCKET = 2n ** 64n - 1n;
const WSAEWOULDBLOCK = 10035;
const WSAVERSION = 0x0202;
/** Bytes of WSADATA on 64 bits, rounded up. */
const WSADATA_BYTES = 512;
const RECEIVE_BYTES = 64 * 1024;

/** struct WSAPOLLFD { SOCKET fd; SHORT events; SHORT revents; } on 64 bits. */
export const pollEntryBytes = 16;
export const pollEvents = {
  readNormal: 0x0100,
  readBand: 0x0200,
  writeNormal: 0x0010,
  error: 1,
  hangup: 2,
  invalid: 4,
};

/** Lays out what WSAPoll reads. */
export function encodePollEntries(interests: readonly Interest[]): Buffer {
  const entries = Buffer.alloc(interests.length * pollEntryBytes);
  interests.forEach(({ handle, read, write }, index) => {
    entries.writeBigUInt64LE(BigInt(handle), index * pollEntryBytes);
    const events = (read ? pollEvents.readNormal : 0) | (write ? pollEvents.writeNormal : 0);
    entries.writeInt16LE(events, index * pollEntryBytes + 8);
  });
  return entries;
}

/** Reads what WSAPoll has written. An error or hang-up makes a handle readable: reading then tells which. */
export function decodePollEntries(entries: Buffer): Ready[] {
  const ready: Ready[] = [];
  for (let at = 0; at < entries.length; at += pollEntryBytes) {
    const events = entries.readInt16LE(at + 10);
    if (events === 0) continue;
    const broken = pollEvents.error | pollEvents.hangup | pollEvents.invalid;
    ready.push({
      handle: Number(entries.readBigUInt64LE(at)),
      read: (events & (pollEvents.readNormal | broken)) !== 0,
      write: (events & (pollEvents.writeNormal | broken)) !== 0,
    });
  }
  return ready;
}

type Call = (...parameters: unknown[]) => number | bigint;
type AsyncCall = Call & { async(...parameters: unknown[]): void };

/** @throws AgentError SYSTEM_CALL_FAILED where there is no Winsock */
export class Winsock implements NativeSockets {
  readonly #calls: Readonly<Record<string, Call>>;
  readonly #poll: AsyncCall;
  readonly #buffer = Buffer.alloc(RECEIVE_BYTES);

  constructor() {
    let library: ReturnType<typeof koffi.load>;
    try {
      library = koffi.load("ws2_32.dll");
    } catch (cause) {
      throw new AgentError("NOT_SUPPORTED", "there is no Winsock; Hyper-V sockets of a host need Windows", {
        cause,
      });
    }
    const bind = (signature: string) => library.func(signature) as unknown as Call;
    this.#calls = {
      startup: bind("int __stdcall WSAStartup(uint16_t, _Out_ uint8_t *)"),
      lastError: bind("int __stdcall WSAGetLastError()"),
      socket: bind("uint64_t __stdcall socket(int, int, int)"),
      bind: bind("int __stdcall bind(uint64_t, const uint8_t *, int)"),
      listen: bind("int __stdcall listen(uint64_t, int)"),
      connect: bind("int __stdcall connect(uint64_t, const uint8_t *, int)"),
      accept: bind("uint64_t __stdcall accept(uint64_t, void *, void *)"),
      name: bind("int __stdcall getsockname(uint64_t, _Out_ uint8_t *, _Inout_ int *)"),
      ioctl: bind("int __stdcall ioctlsocket(uint64_t, int32_t, _Inout_ uint32_t *)"),
      recv: bind("int __stdcall recv(uint64_t, _Out_ uint8_t *, int, int)"),
      send: bind("int __stdcall send(uint64_t, const uint8_t *, int, int)"),
      shutdown: bind("int __stdcall shutdown(uint64_t, int)"),
      close: bind("int __stdcall closesocket(uint64_t)"),
    };
    this.#poll = library.func(
      "int __stdcall WSAPoll(_Inout_ uint8_t *, uint32_t, int)",
    ) as unknown as AsyncCall;
    const status = this.#call("startup", WSAVERSION, Buffer.alloc(WSADATA_BYTES));
    if (status !== 0) throw new AgentError("SYSTEM_CALL_FAILED", `WSAStartup failed with ${status}`);
  }

  listen(address: Uint8Array): number {
    const handle = this.#open(AF_HYPERV, HV_PROTOCOL_RAW);
    try {
      this.#check("bind", handle, address, address.length);
      this.#check("listen", handle, SOMAXCONN);
      this.#unblock(handle);
      return handle;
    } catch (error) {
      this.close(handle);
      throw error;
    }
  }

  accept(listener: number): number | undefined {
    const accepted = BigInt(this.#calls.accept?.(listener, null, null) ?? INVALID_SOCKET);
    if (accepted === INVALID_SOCKET) {
      this.#expectWouldBlock("accept");
      return undefined;
    }
    const handle = Number(accepted);
    this.#unblock(handle);
    return handle;
  }

  receive(handle: number): Buffer | "end" | undefined {
    const count = this.#call("recv", handle, this.#buffer, this.#buffer.length, 0);
    if (count === 0) return "end";
    if (count > 0) return Buffer.from(this.#buffer.subarray(0, count));
    this.#expectWouldBlock("recv");
    return undefined;
  }

  send(handle: number, data: Uint8Array): number {
    const count = this.#call("send", handle, data, data.length, 0);
    if (count >= 0) return count;
    this.#expectWouldBlock("send");
    return 0;
  }

  shutdownWrite(handle: number): void {
    this.#call("shutdown", handle, SD_SEND);
  }

  close(handle: number): void {
    this.#call("close", handle);
  }

  async poll(interests: readonly Interest[]): Promise<Ready[]> {
    const entries = encodePollEntries(interests);
    const { promise, resolve, reject } = Promise.withResolvers<Ready[]>();
    this.#poll.async(entries, interests.length, -1, (error: unknown, count: number) => {
      if (error) reject(error);
      else if (count === SOCKET_ERROR) reject(this.#failure("WSAPoll"));
      else resolve(decodePollEntries(entries));
    });
    return await promise;
  }

  /** Over TCP on the loopback, since Windows has no socketpair. */
  pair(): [number, number] {
    const listener = this.#open(AF_INET, IPPROTO_TCP);
    try {
      // sockaddr_in: family, port (any), 127.0.0.1.
      const address = Buffer.from([AF_INET, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
      this.#check("bind", listener, address, address.length);
      this.#check("listen", listener, 1);
      this.#check("name", listener, address, [address.length]);
      const sender = this.#open(AF_INET, IPPROTO_TCP);
      this.#check("connect", sender, address, address.length);
      const receiver = Number(this.#calls.accept?.(listener, null, null));
      this.#unblock(receiver);
      this.#unblock(sender);
      return [receiver, sender];
    } finally {
      this.close(listener);
    }
  }

  #open(family: number, protocol: number): number {
    const handle = BigInt(this.#calls.socket?.(family, SOCK_STREAM, protocol) ?? INVALID_SOCKET);
    if (handle === INVALID_SOCKET) throw this.#failure("socket");
    return Number(handle);
  }

  #unblock(handle: number): void {
    this.#check("ioctl", handle, FIONBIO | 0, [1]);
  }

  #check(name: string, ...parameters: unknown[]): void {
    if (this.#call(name, ...parameters) === SOCKET_ERROR) throw this.#failure(name);
  }

  #expectWouldBlock(name: string): void {
    if (this.#call("lastError") !== WSAEWOULDBLOCK) throw this.#failure(name);
  }

  #failure(name: string): AgentError {
    return new AgentError("SYSTEM_CALL_FAILED", `Winsock: ${name} failed with ${this.#call("lastError")}`);
  }

  #call(name: string, ...parameters: unknown[]): number {
    return Number(this.#calls[name]?.(...parameters));
  }
}
