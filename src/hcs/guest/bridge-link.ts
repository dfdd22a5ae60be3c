import type { Duplex } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import { type Frame, FrameDecoder, MAXIMUM_SIZE_FROM_GUEST } from "../../protocol/frame.ts";

/** How long a guest that does not read can hold up the closing of its connection. */
const FLUSH_TIMEOUT_MS = 1000;

interface LinkHandlers {
  /** Called for each frame in order; what it throws ends the link. */
  readonly onFrame: (frame: Frame) => void;
  /** Called once, unless close() came first. */
  readonly onLost: (reason: AgentError) => void;
}

/** One bridge connection: bytes to frames, with the real host's bound of 64 KiB on what a guest may send. */
export class BridgeLink {
  readonly #stream: Duplex;
  readonly #handlers: LinkHandlers;
  #isOver = false;

  constructor(stream: Duplex, handlers: LinkHandlers) {
    this.#stream = stream;
    this.#handlers = handlers;
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_GUEST });
    stream.on("error", (cause) => this.#lose("the bridge connection failed", cause));
    const onEnd = () => {
      const cut = decoder.pending > 0 ? ` within a frame, ${decoder.pending} bytes of which had come` : "";
      this.#lose(`the guest closed the bridge connection${cut}`);
    };
    stream.on("end", onEnd);
    stream.on("close", () => this.#lose("the bridge connection was closed"));
    stream.on("data", (chunk: Buffer) => {
      if (this.#isOver) return;
      try {
        decoder.push(chunk, (frame) => {
          if (!this.#isOver) this.#handlers.onFrame(frame);
        });
      } catch (cause) {
        this.#lose("the guest broke the bridge protocol", cause);
      }
    });
    // A guest that hung up at once may have done so before anybody listened. Told later, as the others are.
    if (stream.readableEnded || stream.destroyed) setImmediate(onEnd);
  }

  send(frame: Buffer): void {
    if (!this.#isOver) this.#stream.write(frame);
  }

  /** Ends the connection without a call of onLost. */
  close(): void {
    this.#isOver = true;
    // Lets what was written go out first: a shutdown request, for which the guest owes no reply, say.
    const bound = setTimeout(() => this.#stream.destroy(), FLUSH_TIMEOUT_MS);
    this.#stream.once("close", () => clearTimeout(bound));
    this.#stream.end(() => this.#stream.destroy());
  }

  #lose(what: string, cause?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.destroy();
    this.#handlers.onLost(
      new AgentError("TRANSPORT_CLOSED", what, cause === undefined ? undefined : { cause }),
    );
  }
}
