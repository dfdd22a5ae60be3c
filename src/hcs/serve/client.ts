import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { AgentError, type ErrorCode } from "../../common/errors.ts";
import { parseJson, stringifyJson } from "../../common/json.ts";
import type { HasGuestTrace } from "../compute/guest-trace.ts";
import type { ErrorBody } from "./http.ts";
import { request } from "./node-http.ts";

/** What the service answered. */
class ServiceError extends AgentError implements HasGuestTrace {
  readonly guestTrace: string | undefined;

  constructor(code: ErrorCode, message: string, guestTrace: string | undefined) {
    super(code, message);
    this.guestTrace = guestTrace;
  }
}

export interface ClientOptions {
  readonly signal?: AbortSignal;
}

/** Sends a request and returns the response as it comes. @throws AgentError DIAL_FAILED, ABORTED, or the service's */
export async function call(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
  options: ClientOptions = {},
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const content = body === undefined ? undefined : stringifyJson(body);
  const headers =
    content === undefined
      ? {}
      : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(content) };
  const sent = request({ socketPath, method, path, headers, agent: false, ...options }, resolve);
  sent.once("error", (cause) => reject(failure(socketPath, cause, options.signal)));
  sent.end(content);
  const response = await promise;
  if ((response.statusCode ?? 500) < 400) return response;
  throw errorOf(await text(response));
}

/** The same for a response that is JSON. */
export async function callJson(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
  options: ClientOptions = {},
): Promise<unknown> {
  const response = await call(socketPath, method, path, body, options);
  try {
    const received = await text(response);
    return received === "" ? undefined : parseJson(received);
  } catch (cause) {
    throw failure(socketPath, cause, options.signal);
  }
}

/** Connects to a process's streams. */
export async function attach(socketPath: string, path: string): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const headers = { Connection: "Upgrade", Upgrade: "lcow-stdio" };
  const sent = request({ socketPath, path, headers, agent: false });
  sent.once("upgrade", (_response, socket, head) => {
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  sent.once("response", (response) => {
    text(response).then((received) => reject(errorOf(received)), reject);
  });
  sent.once("error", (cause) => reject(failure(socketPath, cause, undefined)));
  sent.end();
  return await promise;
}

function failure(socketPath: string, cause: unknown, signal: AbortSignal | undefined): AgentError {
  if (signal?.aborted === true) {
    return new AgentError("ABORTED", "the call was aborted", { cause: signal.reason });
  }
  const remedy = isAbsent(cause) ? "; start the service with: lcow serve" : "";
  return new AgentError("DIAL_FAILED", `the compute service at ${socketPath} does not answer${remedy}`, {
    cause,
  });
}

/** Whether a call failed since nobody listens on the socket. */
export function isAbsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ECONNREFUSED" || isAbsent(error.cause);
}

function errorOf(received: string): AgentError {
  try {
    const { error } = parseJson(received) as ErrorBody;
    return new ServiceError(error.code, error.message, error.guestTrace);
  } catch {
    return new AgentError("INTERNAL", `the compute service answered: ${received.slice(0, 200)}`);
  }
}
