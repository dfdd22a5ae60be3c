import { isUtf8 } from "node:buffer";
import { chmodSync } from "node:fs";
import { unlink } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { AgentError, describeError, type ErrorCode } from "../../common/errors.ts";
import { parseJson, stringifyJson } from "../../common/json.ts";
import { codeOf, HcsError } from "../compute/errors.ts";
import { guestTraceOf } from "../compute/guest-trace.ts";
import { createServer } from "./node-http.ts";
import { isAllowed, peerUser } from "./peer-credentials.ts";

const LARGEST_BODY = 4 * 1024 * 1024;

/** What a failed call answers. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    /** "ErrComputeSystemDoesNotExist", where there is one. */
    readonly hcs?: string;
    readonly op?: string;
    /** Where in the guest it came from; for who debugs. */
    readonly guestTrace?: string;
  };
}

export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void>;
  upgrade(request: IncomingMessage, socket: Duplex, url: URL): Promise<void>;
}

/**
 * Listens on a Unix socket of mode 0600, for this user and root.
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export async function listen(path: string, handlers: Handlers): Promise<Server> {
  const server = createServer();
  // A wait for a system's end lasts as long as it takes.
  server.requestTimeout = 0;
  const onFailure = (response: ServerResponse) => (error: unknown) => {
    if (response.headersSent) response.destroy();
    else reply(response, statusOf(error), errorBody(error));
  };
  server.on("request", (request, response) => {
    checkPeer(request)
      .then(() => handlers.request(request, response, urlOf(request)))
      .catch(onFailure(response));
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    checkPeer(request)
      .then(() => handlers.upgrade(request, socket, urlOf(request)))
      .catch((error: unknown) => {
        if (switched.has(socket)) {
          // What is sent now is a stream's, where an answer would be taken for its data.
          console.error(describeError(error));
          socket.destroy();
          return;
        }
        const body = stringifyJson(errorBody(error));
        const head = `HTTP/1.1 ${statusOf(error)} Failed\r\nContent-Type: application/json\r\n`;
        socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
      });
  });
  await unlink(path).catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new AgentError("SYSTEM_CALL_FAILED", `cannot listen on ${path}`, { cause }));
    });
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve();
    });
  });
  return server;
}

/** The connections whose answer has been sent. */
const switched = new WeakSet<Duplex>();

/** Answers an upgrade: from here on the connection is a stream. Every error must come before. */
export function switchProtocols(socket: Duplex): void {
  switched.add(socket);
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lcow-stdio\r\n\r\n");
}

async function checkPeer({ socket }: IncomingMessage): Promise<void> {
  const user = await peerUser(socket);
  if (!isAllowed(user)) throw new AgentError("NOT_SUPPORTED", `user ${user} may not use this service`);
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? "/", "http://service");
}

/** @throws AgentError INVALID_ARGUMENT when there is too much */
export async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new AgentError("INVALID_ARGUMENT", "the request is larger than 4 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @throws AgentError INVALID_ARGUMENT, INVALID_JSON */
export async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return {};
  // Decoding would put something else in the place of what is none.
  if (!isUtf8(bytes)) throw new AgentError("INVALID_JSON", "the request's body is not UTF-8");
  const body = parseJson(bytes.toString());
  if (typeof body === "object" && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>;
  throw new AgentError("INVALID_JSON", "the request's body is no object");
}

export function reply(response: ServerResponse, status: number, body: unknown): void {
  const text = stringifyJson(body ?? {});
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(text);
}

export function errorBody(error: unknown): ErrorBody {
  const code = error instanceof AgentError ? error.code : "INTERNAL";
  const hcs = codeOf(error)?.name;
  const guestTrace = guestTraceOf(error);
  return {
    error: {
      code,
      message: error instanceof HcsError ? error.message : describeError(error),
      ...(hcs !== undefined && { hcs }),
      ...(error instanceof HcsError && { op: error.op }),
      ...(guestTrace !== undefined && { guestTrace }),
    },
  };
}

const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  INVALID_JSON: 400,
  INVALID_ARGUMENT: 400,
  INVALID_CONTAINER_ID: 400,
  SYSTEM_NOT_FOUND: 404,
  PROCESS_NOT_FOUND: 404,
  SYSTEM_ALREADY_EXISTS: 409,
  SYSTEM_ALREADY_STOPPED: 409,
  INVALID_STATE: 409,
  NOT_SUPPORTED: 501,
  TRANSPORT_CLOSED: 502,
  TIMEOUT: 504,
};

function statusOf(error: unknown): number {
  return (error instanceof AgentError && STATUS[error.code]) || 500;
}
