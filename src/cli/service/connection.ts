import type { IncomingMessage } from "node:http";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import * as client from "../../hcs/serve/client.ts";
import { defaultStateDirectory, lockFile, serviceSocket } from "../../hcs/serve/paths.ts";
import { Peer } from "../../hcs/serve/peer.ts";
import type { OptionDescription, ParsedArguments } from "../arguments.ts";
import { readNotEmpty } from "../values.ts";
import { tellSilence } from "./tell-silence.ts";

export const STATE_OPTION: OptionDescription<string> = {
  name: "state-directory",
  value: "DIR",
  // Absolute, since what keeps the systems works elsewhere.
  read: (text, what) => resolve(readNotEmpty(text, what)),
  completes: "directory",
  help: "of the service (default $LCOW_STATE_DIRECTORY, or /run/lcow for root and\n$XDG_RUNTIME_DIR/lcow for others)",
};
export const JSON_OPTION: OptionDescription = { name: "json", help: "for programs: JSON instead of a table" };

export function stateDirectory(found: ParsedArguments): string {
  return found.read(STATE_OPTION) ?? defaultStateDirectory();
}

/**
 * Calls of the service. Every method throws AgentError: DIAL_FAILED when it does not run, TIMEOUT with since when it does
 * not answer, or what it answers.
 */
export class Connection {
  readonly #service: Peer;

  constructor(found: ParsedArguments) {
    const directory = stateDirectory(found);
    const remedy = `it may be stopped or hang: its process id is in ${lockFile(directory)}; what it keeps outlives it`;
    const socket = serviceSocket(directory);
    this.#service = new Peer(socket, (silence) => `the compute service at ${socket} ${silence}; ${remedy}`);
  }

  async get(path: string): Promise<unknown> {
    return await this.#call("GET", path);
  }

  /** @param signal gives the call up */
  async post(path: string, body: object = {}, signal?: AbortSignal): Promise<unknown> {
    return await this.#call("POST", path, body, signal);
  }

  async delete(path: string): Promise<void> {
    await this.#call("DELETE", path);
  }

  /** A response that is read as it comes. @param signal gives it up */
  async stream(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const { socket } = this.#service;
    return await this.#service.answered((silent) =>
      client.call(socket, "GET", path, undefined, { signal: either(silent, signal) }),
    );
  }

  async attach(path: string): Promise<Duplex> {
    return await this.#service.answered(() => client.attach(this.#service.socket, path));
  }

  /**
   * While a stream of the system's is read: tells when the service or its keeper falls silent, and is heard again.
   * @returns ends it
   */
  watch(id: string, tell: (text: string) => void): () => void {
    const path = systemPath(id, "alive");
    const { socket } = this.#service;
    return tellSilence((signal) => client.callJson(socket, "GET", path, undefined, { signal }), tell);
  }

  async #call(method: string, path: string, body?: object, signal?: AbortSignal): Promise<unknown> {
    const { socket } = this.#service;
    return await this.#service.answered((silent) =>
      client.callJson(socket, method, path, body, { signal: either(silent, signal) }),
    );
  }
}

function either(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}

/** Path of a system's part. */
export function systemPath(id: string, part = ""): string {
  return `/systems/${encodeURIComponent(id)}${part === "" ? "" : `/${part}`}`;
}
