/** Where the parts of an archive come from: the service, a keeper without it, and files. Every wait has a deadline. */
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { call, callJson, isAbsent } from "../../hcs/serve/client.ts";
import { type KeeperRecord, readRecord } from "../../hcs/serve/keeper-record.ts";
import { keeperSocket, keepersDirectory, serviceSocket } from "../../hcs/serve/paths.ts";
import { channels, FrameReader } from "../../hcs/serve/stdio-frames.ts";
import { systemPath } from "../service/connection.ts";

/** Longer than the service gives a keeper that is silent, and a guest its stacks. */
const CALL_DEADLINE_MS = 10_000;
const OUTPUT_DEADLINE_MS = 30_000;
/** Of each part; its end is kept. */
export const LARGEST_PART = 8 * 1024 * 1024;

/** The end of something that may be longer. */
export interface Tail {
  readonly text: string;
  readonly isCut: boolean;
}

/** What a system's keeper has on the disk. */
export interface Kept {
  readonly directory: string;
  readonly record: KeeperRecord;
}

export class Sources {
  readonly id: string;
  readonly #socket: string;
  /** undefined where there is none, or none that this user may read. */
  readonly kept: Kept | undefined;

  /** @throws AgentError DIAL_FAILED when there is no service, nor a keeper that has such a system */
  static async find(id: string, stateDirectory: string): Promise<Sources> {
    const kept = await findKept(id, stateDirectory);
    const socket = serviceSocket(stateDirectory);
    try {
      await callJson(socket, "GET", systemPath(id), undefined, deadline());
    } catch (error) {
      // A keeper serves the same calls, whether the service runs or not.
      if (isAbsent(error) && kept !== undefined) return new Sources(id, keeperSocket(kept.directory), kept);
      const isSilent = error instanceof AgentError && ["ABORTED", "TIMEOUT"].includes(error.code);
      if (!isSilent || kept === undefined) throw error;
    }
    return new Sources(id, socket, kept);
  }

  private constructor(id: string, socket: string, kept: Kept | undefined) {
    this.id = id;
    this.#socket = socket;
    this.kept = kept;
  }

  /** What the service tells at a path below the system's. @throws AgentError */
  async ask(part = ""): Promise<unknown> {
    return await callJson(this.#socket, "GET", systemPath(this.id, part), undefined, deadline());
  }

  /** What the container's command has written. @throws AgentError */
  async output(): Promise<{ stdout: Tail; stderr: Tail }> {
    const path = systemPath(this.id, "logs");
    const log = await call(this.#socket, "GET", path, undefined, deadline(OUTPUT_DEADLINE_MS));
    const reader = new FrameReader();
    const [stdout, stderr] = [new Collected(), new Collected()];
    for await (const chunk of log as AsyncIterable<Buffer>) {
      for (const { channel, data } of reader.push(chunk)) {
        if (channel === channels.stdout) stdout.push(data);
        else if (channel === channels.stderr) stderr.push(data);
      }
    }
    return { stdout: stdout.tail, stderr: stderr.tail };
  }
}

function deadline(timeoutMs = CALL_DEADLINE_MS): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(timeoutMs) };
}

class Collected {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isCut = false;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // Twice as much, so that it is not copied for every chunk.
    if (this.#bytes > 2 * LARGEST_PART) this.#cut();
  }

  get tail(): Tail {
    if (this.#bytes > LARGEST_PART) this.#cut();
    return { text: Buffer.concat(this.#chunks).toString(), isCut: this.#isCut };
  }

  #cut(): void {
    this.#chunks = [Buffer.concat(this.#chunks).subarray(-LARGEST_PART)];
    this.#bytes = LARGEST_PART;
    this.#isCut = true;
  }
}

async function findKept(id: string, stateDirectory: string): Promise<Kept | undefined> {
  const parent = keepersDirectory(stateDirectory);
  for (const name of await readdir(parent).catch(() => [])) {
    const directory = join(parent, name);
    // One that is no record, or of another version, is none of it.
    const record = await readRecord(directory).catch(() => undefined);
    if (record?.systems.some(({ Id }) => Id === id)) return { directory, record };
  }
  return undefined;
}

/** The end of a regular file: to open a FIFO is to wait for who writes to it. @throws Error */
export async function readTail(path: string, most: number = LARGEST_PART): Promise<Tail> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const status = await file.stat();
  if (!status.isFile()) throw new AgentError("INVALID_ARGUMENT", `${path} is no regular file`);
  const bytes = Buffer.alloc(Math.min(status.size, most));
  let length = 0;
  while (length < bytes.length) {
    const at = status.size - bytes.length + length;
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, at);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return { text: bytes.subarray(0, length).toString(), isCut: status.size > most };
}
