/**
 * Node's HTTP without what an import of it loads besides: an import takes the value of every export, and behind one
 * of them (WebSocket) are undici, TLS and HTTP/2. That was a third of the start of every command of lcow.
 */
export const { createServer, request } = process.getBuiltinModule("node:http");
