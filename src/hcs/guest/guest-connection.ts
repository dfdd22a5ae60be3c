import { AgentError } from "../../common/errors.ts";
import { printableLines } from "../../common/printable.ts";
import type { ResponseOf } from "../../protocol/codec.ts";
import { UVM_CONTAINER_ID } from "../../protocol/container-id.ts";
import { BRIDGE_PORT, PROTOCOL_VERSION } from "../../protocol/messages.ts";
import type { ModifySettingsRequest } from "../../protocol/schemas/modify-settings.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import type { HostListener, HostTransport } from "../transport/host-transport.ts";
import { ContainerExits } from "./container-exits.ts";
import { GuestContainer } from "./guest-container.ts";
import { GuestProcess, type ProcessHost } from "./guest-process.ts";
import { HostBridge } from "./host-bridge.ts";
import type { RequestOptions } from "./pending-request.ts";
import { StdioPorts, type WantedStreams } from "./stdio-channels.ts";

const SCHEMA_VERSION = { Major: 2, Minor: 1 };
/** A VM boots in seconds, in software emulation in tens of them. */
const DEFAULT_CONNECT_TIMEOUT_MS = 2 * 60_000;

export type GuestCapabilities = Partial<ResponseOf<"NegotiateProtocol">["Capabilities"]>;

export interface ListenOptions {
  /** Milliseconds until a request is given up; default 5 minutes. */
  readonly requestTimeoutMs?: number;
  /**
   * Milliseconds that a guest which lost the connection has to dial again; requests wait for it. Default 0: the
   * end of the connection is the end of all that is pending, as with the real host.
   */
  readonly reconnectTimeoutMs?: number;
}

export interface ContainerOptions {
  /** Directory in the utility VM for the agent's files about the container; made by the agent. */
  readonly bundlePath: string;
  /** OCI configuration. */
  readonly spec: object;
  readonly scratchDirPath?: string;
}

export interface UvmProcessOptions extends WantedStreams, RequestOptions {
  /** The program and its arguments; or `commandLine`, which the guest splits as a shell does. */
  readonly commandArgs?: readonly string[];
  readonly commandLine?: string;
  /** Absolute. Default "/". */
  readonly workingDirectory?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The process has a terminal; then there is no stderr of its own. Default false. */
  readonly terminal?: boolean;
  /** Initial size of that terminal. */
  readonly consoleSize?: { readonly rows: number; readonly columns: number };
}

/**
 * The host's end of one guest. The guest dials, so the host listens first: listen(), start the guest, accept().
 */
export class GuestConnection {
  readonly #host: ProcessHost;
  readonly #bridge: HostBridge;
  readonly #exits = new ContainerExits();
  readonly #listener: HostListener;
  readonly #closing = new AbortController();
  readonly #reconnectTimeoutMs: number;
  #capabilities: GuestCapabilities = {};
  /** Set while a connection is being negotiated; aborted when that connection is lost. */
  #attempt: AbortController | undefined;

  /** Listens for the guest, which can be started now. @throws AgentError see HostTransport.listen */
  static async listen(transport: HostTransport, options: ListenOptions = {}): Promise<GuestConnection> {
    return new GuestConnection(transport, await transport.listen(BRIDGE_PORT), options);
  }

  /** The same on a listener of the transport for the bridge's port, which is there already; takes it over. */
  static on(transport: HostTransport, listener: HostListener, options: ListenOptions = {}): GuestConnection {
    return new GuestConnection(transport, listener, options);
  }

  private constructor(transport: HostTransport, listener: HostListener, options: ListenOptions) {
    this.#listener = listener;
    this.#reconnectTimeoutMs = options.reconnectTimeoutMs ?? 0;
    this.#bridge = new HostBridge({
      onNotification: (notification) => this.#exits.notify(notification),
      onLinkLost: (reason) => this.#onLinkLost(reason),
      requestTimeoutMs: options.requestTimeoutMs,
    });
    this.#host = { bridge: this.#bridge, stdioPorts: new StdioPorts(transport) };
    void this.#bridge.ended.then((reason) => this.#exits.fail(reason));
  }

  /**
   * Waits for the guest and negotiates. After a failure the connection is closed.
   *
   * @param options.timeoutMs until the guest has dialled and negotiated; default 2 minutes
   * @throws AgentError TIMEOUT, ABORTED, TRANSPORT_CLOSED, UNSUPPORTED_PROTOCOL_VERSION
   */
  async accept(options: RequestOptions = {}): Promise<void> {
    const { timeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, signal } = options;
    const signals = [this.#closing.signal, ...(signal === undefined ? [] : [signal])];
    try {
      await this.#connect(timeoutMs, AbortSignal.any(signals));
      // One guest, one bridge: nobody else may dial it, unless the guest is to come back.
      if (this.#reconnectTimeoutMs === 0) await this.#listener.close();
    } catch (cause) {
      await this.close(asAgentError(cause));
      throw cause;
    }
  }

  /** Settles with the reason when the guest is gone for good (also by close()); every pending call rejects then. */
  get ended(): Promise<AgentError> {
    return this.#bridge.ended;
  }

  /** When the guest last said anything; milliseconds since 1970. */
  get lastHeard(): number | undefined {
    return this.#bridge.lastHeard;
  }

  /** What the guest said of itself when it negotiated. */
  get capabilities(): GuestCapabilities {
    return this.#capabilities;
  }

  /** Whether the guest knows GuestContainer.pause() and resume(); others than this project's do not. */
  get canPause(): boolean {
    return this.#capabilities.GuestDefinedCapabilities?.ContainerPauseSupported === true;
  }

  /**
   * Makes a container; its init waits for the first createProcess().
   * @param id 1 to 255 of `[A-Za-z0-9_+.-]`, the first a letter or digit
   * @throws AgentError SYSTEM_ALREADY_EXISTS, INVALID_CONTAINER_ID, or why the runtime could not make it
   */
  async createContainer(id: string, options: ContainerOptions & RequestOptions): Promise<GuestContainer> {
    const exited = this.#exits.register(id);
    const ContainerConfig = {
      SchemaVersion: SCHEMA_VERSION,
      OciBundlePath: options.bundlePath,
      OciSpecification: options.spec as OciSpec,
      ScratchDirPath: options.scratchDirPath ?? "",
    };
    try {
      await this.#bridge.request("Create", { ContainerId: id, ContainerConfig }, options);
    } catch (cause) {
      this.#exits.forget(id);
      throw cause;
    }
    return new GuestContainer(id, this.#host, exited);
  }

  /** Runs a process outside any container. @throws AgentError INVALID_ARGUMENT, or why it could not be started */
  async createProcess(options: UvmProcessOptions): Promise<GuestProcess> {
    const parameters = {
      ...(options.commandArgs !== undefined && { CommandArgs: [...options.commandArgs] }),
      ...(options.commandLine !== undefined && { CommandLine: options.commandLine }),
      WorkingDirectory: options.workingDirectory ?? "/",
      ...(options.environment !== undefined && { Environment: { ...options.environment } }),
      ...(options.terminal === true && { EmulateConsole: true }),
      ...(options.consoleSize !== undefined && {
        ConsoleSize: [options.consoleSize.rows, options.consoleSize.columns],
      }),
    };
    return await GuestProcess.create(this.#host, UVM_CONTAINER_ID, parameters, options, options);
  }

  /** Adds, removes or updates a resource of the utility VM. */
  async modify(request: ModifySettingsRequest, options: RequestOptions = {}): Promise<void> {
    await this.#bridge.request(
      "ModifySettings",
      { ContainerId: UVM_CONTAINER_ID, Request: request },
      options,
    );
  }

  /** What the agent is doing, for people. */
  async dumpStacks(options: RequestOptions = {}): Promise<string> {
    const reply = await this.#bridge.request("DumpStacks", { ContainerId: UVM_CONTAINER_ID }, options);
    return printableLines(reply.GuestStacks);
  }

  /** Asks the utility VM to power off. The guest owes no reply; its end is told by `ended`. */
  shutdown(): void {
    this.#bridge.post("ShutdownGraceful", { ContainerId: UVM_CONTAINER_ID });
  }

  /** Closes the bridge; everything pending rejects with TRANSPORT_CLOSED. Safe more than once. */
  async close(reason?: AgentError): Promise<void> {
    this.#closing.abort();
    this.#bridge.fail(reason ?? new AgentError("TRANSPORT_CLOSED", "the connection was closed by this side"));
    await this.#listener.close();
  }

  async #connect(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const remaining = () => Math.max(1, deadline - Date.now());
    for (;;) {
      const stream = await this.#listener.accept({ timeoutMs: remaining(), signal });
      const attempt = new AbortController();
      this.#attempt = attempt;
      try {
        this.#bridge.attach(stream);
        await this.#negotiate({ timeoutMs: remaining(), signal: AbortSignal.any([signal, attempt.signal]) });
        return;
      } catch (cause) {
        const mayDialAgain = attempt.signal.aborted && !signal.aborted && this.#reconnectTimeoutMs > 0;
        if (!mayDialAgain) throw attempt.signal.aborted ? attempt.signal.reason : cause;
      } finally {
        this.#attempt = undefined;
      }
    }
  }

  async #negotiate(options: RequestOptions): Promise<void> {
    const body = { ContainerId: "", MinimumVersion: PROTOCOL_VERSION, MaximumVersion: PROTOCOL_VERSION };
    const reply = await this.#bridge.request("NegotiateProtocol", body, options);
    if (reply.Version !== PROTOCOL_VERSION) {
      throw new AgentError(
        "UNSUPPORTED_PROTOCOL_VERSION",
        `the guest chose protocol version ${reply.Version}; only ${PROTOCOL_VERSION} is known here`,
      );
    }
    this.#capabilities = reply.Capabilities;
    this.#bridge.open();
  }

  #onLinkLost(reason: AgentError): void {
    if (this.#attempt !== undefined) {
      this.#attempt.abort(reason);
      return;
    }
    if (this.#reconnectTimeoutMs === 0) {
      this.#bridge.fail(reason);
      return;
    }
    this.#connect(this.#reconnectTimeoutMs, this.#closing.signal).catch((cause: unknown) => {
      const message = "the guest lost the connection and did not come back";
      this.#bridge.fail(new AgentError("TRANSPORT_CLOSED", message, { cause }));
    });
  }
}

function asAgentError(cause: unknown): AgentError {
  return cause instanceof AgentError
    ? cause
    : new AgentError("INTERNAL", "connecting to the guest failed", { cause });
}
