import type { IncomingMessage } from "node:http";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import * as client from "../../hcs/serve/client.ts";
import { defaultStateDirectory, serviceSocket } from "../../hcs/serve/paths.ts";
import type { OptionDescription, ParsedArguments } from "../arguments.ts";
import { readNotEmpty } from "../values.ts";

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

/** Calls of the service. Every method throws AgentError: DIAL_FAILED when it does not run, or what it answers. */
export class Connection {
  readonly #socket: string;

  constructor(found: ParsedArguments) {
    this.#socket = serviceSocket(stateDirectory(found));
  }

  async get(path: string): Promise<unknown> {
    return await client.callJson(this.#socket, "GET", path);
  }

  /** @param signal gives the call up */
  async post(path: string, body: object = {}, signal?: AbortSignal): Promise<unknown> {
    return await client.callJson(this.#socket, "POST", path, body, signal === undefined ? {} : { signal });
  }

  async delete(path: string): Promise<void> {
    await client.callJson(this.#socket, "DELETE", path);
  }

  /** A response that is read as it comes. @param signal gives it up */
  async stream(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return await client.call(this.#socket, "GET", path, undefined, signal === undefined ? {} : { signal });
  }

  async attach(path: string): Promise<Duplex> {
    return await client.attach(this.#socket, path);
  }
}

/** Path of a system's part. */
export function systemPath(id: string, part = ""): string {
  return `/systems/${encodeURIComponent(id)}${part === "" ? "" : `/${part}`}`;
}
