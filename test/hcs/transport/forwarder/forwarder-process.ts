import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import {
  ForwarderHostTransport,
  type ForwarderOptions,
} from "../../../../src/hcs/transport/forwarder-host-transport.ts";
import { shortDirectory } from "../../short-directory.ts";

const SOURCE = join(import.meta.dirname, "../../../../native/forwarder");
export const FORWARDER = join(SOURCE, "out/vsock-forwarder");

export function buildForwarder(): void {
  execFileSync("make", ["-s", "-C", SOURCE], { stdio: ["ignore", "ignore", "inherit"] });
}

interface Teardown {
  teardown(undo: () => unknown): void;
}

export interface Guest {
  readonly transport: ForwarderHostTransport;
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  /** What it said on stderr so far. */
  said(): string;
  /** The host's end of the channel, for those who misbehave on it. */
  readonly channel: Socket;
  dial(port: number): Promise<Socket>;
}

/** The very forwarder of the image, with Unix sockets for vsock ports and for the virtio-serial port. */
export async function startGuest(t: Teardown, options: StartOptions = {}): Promise<Guest> {
  buildForwarder();
  const directory = shortDirectory(t);
  const server = createServer({ allowHalfOpen: true });
  server.listen(join(directory, "channel"));
  await once(server, "listening");
  const channelArguments = ["--channel", join(directory, "channel"), "--listen", join(directory, "port")];
  const [program = FORWARDER, ...rest] = [...(options.before ?? []), FORWARDER];
  const child = spawn(program, [...rest, ...channelArguments, ...(options.arguments ?? [])], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const [channel] = (await once(server, "connection")) as [Socket];
  server.close();
  const transport = new ForwarderHostTransport(options.transport);
  t.teardown(async () => {
    await transport.close();
    channel.destroy();
    child.kill("SIGKILL");
    await exited;
  });
  await options.beforeAttach?.(transport);
  if (options.attach !== false) {
    transport.attach(options.wrap?.(channel) ?? channel);
    await transport.connected;
  }
  return {
    transport,
    process: child,
    exited,
    channel,
    said: () => said,
    dial: (port) => dial(join(directory, `port_${port}`)),
  };
}

export interface StartOptions {
  /** A program and its arguments that executes the forwarder, its last ones. */
  readonly before?: readonly string[];
  readonly arguments?: readonly string[];
  readonly transport?: ForwarderOptions;
  readonly attach?: boolean;
  readonly wrap?: (channel: Socket) => Duplex;
  readonly beforeAttach?: (transport: ForwarderHostTransport) => Promise<void>;
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true }, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}
