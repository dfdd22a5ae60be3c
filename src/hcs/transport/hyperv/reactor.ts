import type { Interest, NativeSockets, Ready } from "./native-sockets.ts";

/** What is told of a handle. */
export interface Watcher {
  wantsRead(): boolean;
  wantsWrite(): boolean;
  onReady(ready: Ready): void;
}

/** Waits for all handles in one call of poll(), which a byte on a pair of sockets ends when the handles change. */
export class Reactor {
  readonly #sockets: NativeSockets;
  readonly #watchers = new Map<number, Watcher>();
  #wake: [number, number] | undefined;
  #isRunning = false;
  #isWoken = false;

  constructor(sockets: NativeSockets) {
    this.#sockets = sockets;
  }

  add(handle: number, watcher: Watcher): void {
    this.#watchers.set(handle, watcher);
    this.changed();
  }

  /** The handle is closed once nobody waits for it. */
  remove(handle: number): void {
    this.#watchers.delete(handle);
    this.#closing.push(handle);
    this.changed();
  }

  /** Handles to close when poll() has returned: another socket may get the number of a closed one. */
  readonly #closing: number[] = [];

  /** A watcher wants something else now. */
  changed(): void {
    if (!this.#isRunning) {
      if (this.#watchers.size > 0 || this.#closing.length > 0) void this.#run();
      return;
    }
    if (this.#isWoken || this.#wake === undefined) return;
    this.#isWoken = true;
    this.#sockets.send(this.#wake[1], Buffer.of(0));
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#wake ??= this.#sockets.pair();
    const [wake] = this.#wake;
    // What comes in the same turn is taken in one go.
    await Promise.resolve();
    while (this.#watchers.size > 0 || this.#closing.length > 0) {
      for (const handle of this.#closing.splice(0)) this.#sockets.close(handle);
      if (this.#watchers.size === 0) break;
      const interests: Interest[] = [{ handle: wake, read: true, write: false }];
      for (const [handle, watcher] of this.#watchers) {
        interests.push({ handle, read: watcher.wantsRead(), write: watcher.wantsWrite() });
      }
      for (const ready of await this.#sockets.poll(interests)) {
        if (ready.handle === wake) this.#drain(wake);
        else this.#watchers.get(ready.handle)?.onReady(ready);
      }
    }
    for (const handle of this.#wake) this.#sockets.close(handle);
    this.#wake = undefined;
    this.#isWoken = false;
    this.#isRunning = false;
  }

  #drain(wake: number): void {
    while (Buffer.isBuffer(this.#sockets.receive(wake)));
    this.#isWoken = false;
  }
}
