/** The calls of Winsock in those of libc, over Unix sockets: what can be had of a Windows host on Linux. */
import koffi from "koffi";
import { decodeHypervAddress, portOfServiceId } from "../../../../native/hvsock/index.ts";
import type { Interest, NativeSockets, Ready } from "../../../../src/hcs/transport/hyperv/native-sockets.ts";

const [AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, EAGAIN, MSG_NOSIGNAL] = [1, 1, 0o4000, 11, 0x4000];
const [POLLIN, POLLOUT, BROKEN] = [1, 4, 8 | 16 | 32];
const libc = koffi.load("libc.so.6");
const calls = {
  socket: libc.func("int socket(int, int, int)"),
  bind: libc.func("int bind(int, const uint8_t *, int)"),
  listen: libc.func("int listen(int, int)"),
  accept: libc.func("int accept4(int, void *, void *, int)"),
  recv: libc.func("int64_t recv(int, _Out_ uint8_t *, size_t, int)"),
  send: libc.func("int64_t send(int, const uint8_t *, size_t, int)"),
  shutdown: libc.func("int shutdown(int, int)"),
  close: libc.func("int close(int)"),
  poll: libc.func("int poll(_Inout_ uint8_t *, unsigned long, int)"),
  socketpair: libc.func("int socketpair(int, int, int, _Out_ int *)"),
};

export class LibcSockets implements NativeSockets {
  readonly #prefix: string;
  readonly open = new Set<number>();
  readonly addresses: Uint8Array[] = [];

  /** @param prefix guest port P is the socket PREFIX_P */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  listen(address: Uint8Array): number {
    this.addresses.push(address);
    const port = portOfServiceId(decodeHypervAddress(address).serviceId);
    const unix = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${this.#prefix}_${port}\0`)]);
    const handle = this.#keep(calls.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    this.#check(calls.bind(handle, unix, unix.length));
    this.#check(calls.listen(handle, 16));
    return handle;
  }

  accept(listener: number): number | undefined {
    const handle = calls.accept(listener, null, null, SOCK_NONBLOCK);
    return this.#wouldBlock(handle) ? undefined : this.#keep(handle);
  }

  receive(handle: number): Buffer | "end" | undefined {
    const buffer = Buffer.alloc(4096);
    const count = Number(calls.recv(handle, buffer, buffer.length, 0));
    if (count === 0) return "end";
    return this.#wouldBlock(count) ? undefined : buffer.subarray(0, count);
  }

  send(handle: number, data: Uint8Array): number {
    const count = Number(calls.send(handle, data, data.length, MSG_NOSIGNAL));
    return this.#wouldBlock(count) ? 0 : count;
  }

  shutdownWrite(handle: number): void {
    calls.shutdown(handle, 1);
  }

  close(handle: number): void {
    if (!this.open.delete(handle)) throw new Error(`handle ${handle} is closed twice`);
    calls.close(handle);
  }

  async poll(interests: readonly Interest[]): Promise<Ready[]> {
    const entries = Buffer.alloc(interests.length * 8);
    interests.forEach(({ handle, read, write }, index) => {
      entries.writeInt32LE(handle, index * 8);
      entries.writeInt16LE((read ? POLLIN : 0) | (write ? POLLOUT : 0), index * 8 + 4);
    });
    await new Promise<void>((resolve, reject) => {
      calls.poll.async(entries, interests.length, -1, (error: unknown) =>
        error ? reject(error) : resolve(),
      );
    });
    return interests.flatMap(({ handle }, index) => {
      const events = entries.readInt16LE(index * 8 + 6);
      if (events === 0) return [];
      return [
        { handle, read: (events & (POLLIN | BROKEN)) !== 0, write: (events & (POLLOUT | BROKEN)) !== 0 },
      ];
    });
  }

  pair(): [number, number] {
    const pair: [number, number] = [0, 0];
    this.#check(calls.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    return [this.#keep(pair[0]), this.#keep(pair[1])];
  }

  #keep(handle: number): number {
    this.#check(handle);
    this.open.add(handle);
    return handle;
  }

  #wouldBlock(result: number): boolean {
    if (result >= 0) return false;
    if (koffi.errno() !== EAGAIN) throw new Error(`errno ${koffi.errno()}`);
    return true;
  }

  #check(result: number): void {
    if (result < 0) throw new Error(`errno ${koffi.errno()}`);
  }
}
