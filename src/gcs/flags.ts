/**
 * The agent's command line. The flags of the Go agent keep their names and Go's style: one or two dashes,
 * `-flag value` or `-flag=value`, and a boolean takes a value only after `=`. Source of names and defaults:
 * hcsshim cmd/gcs/main.go.
 */
import { AgentError } from "../common/errors.ts";
import { TRANSPORT_VARIABLE, transportFromFlag } from "../stdio/transport-flag.ts";

export type LogLevel = "trace" | "debug" | "info" | "warning" | "error" | "fatal";

export interface Flags {
  help: boolean;
  version: boolean;
  v4: boolean;
  loglevel: LogLevel;
  "log-format": "text" | "json";
  logfile: string;
  kmsgLogLevel: number;
  "use-inouterr": boolean;
  "core-dump-location": string;
  "root-mem-reserve-bytes": number;
  "gcs-mem-limit-bytes": number;
  "disable-time-sync": boolean;
  "scrub-logs": boolean;
  "initial-policy-stance": "allow" | "deny";
  transport: string;
  "oci-runtime": string;
  "runtime-root": string;
  "cgroup-parent": string;
  "allow-host-sockets": boolean;
  "exit-with-host": boolean;
  "private-directory": string;
}

type Parse = (text: string) => unknown;
interface Flag {
  readonly default: unknown;
  readonly value?: string;
  readonly help: string;
  /** Absent for a boolean. */
  readonly parse?: Parse;
}

const text: Parse = (value) => value;

function oneOf(...allowed: string[]): Parse {
  return (value) => {
    if (!allowed.includes(value))
      throw new AgentError("INVALID_ARGUMENT", `must be one of ${allowed.join(", ")}`);
    return value;
  };
}

function integer(maximum: number): Parse {
  return (value) => {
    const number = /^(0x[0-9a-fA-F]+|\d+)$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= 0 && number <= maximum)) {
      throw new AgentError("INVALID_ARGUMENT", `must be a whole number from 0 to ${maximum}`);
    }
    return number;
  };
}

/** logrus, whose names the host knows, also has "panic" and "warn". */
const logLevel: Parse = (value) => {
  const level = value === "warn" ? "warning" : value === "panic" ? "fatal" : value;
  return oneOf("trace", "debug", "info", "warning", "error", "fatal")(level);
};

const flags: { readonly [Name in keyof Flags]: Flag } = {
  help: { default: false, help: "show this help" },
  version: { default: false, help: "show the version" },
  v4: { default: true, help: "speak protocol version 4 (the only one there is)" },
  loglevel: {
    default: "debug",
    value: "LEVEL",
    parse: logLevel,
    help: "trace, debug, info, warning, error, fatal",
  },
  "log-format": { default: "text", value: "FORMAT", parse: oneOf("text", "json"), help: "text or json" },
  logfile: { default: "", value: "FILE", parse: text, help: "log to a file instead of standard error" },
  kmsgLogLevel: {
    default: 4,
    value: "N",
    parse: integer(7),
    help: "kernel messages to forward, 0 emergency to 7 debug; taken, but nothing is forwarded yet",
  },
  "use-inouterr": { default: false, help: "speak to the host over standard input and output" },
  "core-dump-location": { default: "", value: "PATTERN", parse: text, help: "kernel.core_pattern to set" },
  "root-mem-reserve-bytes": {
    default: 75 * 1024 * 1024,
    value: "BYTES",
    parse: integer(Number.MAX_SAFE_INTEGER),
    help: "memory that containers together never get; in a VM only",
  },
  "gcs-mem-limit-bytes": {
    default: 50 * 1024 * 1024,
    value: "BYTES",
    parse: integer(Number.MAX_SAFE_INTEGER),
    help: "memory of the agent itself to warn at; taken, but nothing warns yet",
  },
  "disable-time-sync": { default: false, help: "do not set the clock; taken, but nothing sets it yet" },
  "scrub-logs": { default: true, help: "keep environments, command lines and annotations out of the log" },
  "initial-policy-stance": {
    default: "allow",
    value: "STANCE",
    parse: oneOf("allow", "deny"),
    help: "allow or deny, until the host sends a security policy",
  },
  transport: {
    default: process.env[TRANSPORT_VARIABLE] ?? "vsock",
    value: "KIND",
    parse: (value) => {
      transportFromFlag(value);
      return value;
    },
    help: "vsock; unix:PREFIX: guest port P is the socket PREFIX_P; forwarder:PREFIX: likewise, in a VM",
  },
  "oci-runtime": {
    default: "runc",
    value: "NAME",
    parse: text,
    help: "runc, crun, or a path to one like them",
  },
  "runtime-root": { default: "", value: "DIR", parse: text, help: "the OCI runtime's own state directory" },
  "cgroup-parent": {
    default: "/pods",
    value: "PATH",
    parse: text,
    help: "cgroup under which containers live",
  },
  "allow-host-sockets": {
    default: false,
    help: "let containers make AF_VSOCK sockets and io_urings: then any of them can pose as the host",
  },
  "exit-with-host": {
    default: false,
    help: "when the host goes away, kill and delete all containers and exit",
  },
  "private-directory": {
    default: "",
    value: "DIR",
    parse: text,
    help: "directory of this agent alone; removed with everything in it when the agent exits",
  },
};

const isFlagName = (name: string): name is keyof Flags => Object.hasOwn(flags, name);

/** @throws AgentError INVALID_ARGUMENT naming the flag and what it takes. */
export function parseFlags(argv: readonly string[]): Flags {
  const parsed = Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, flag.default]));
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `unexpected argument "${argument}"; gcs takes flags only (see --help)`,
      );
    }
    const name = match[1] === "h" ? "help" : (match[1] ?? "");
    if (!isFlagName(name)) throw new AgentError("INVALID_ARGUMENT", `unknown flag -${name} (see --help)`);
    const { parse } = flags[name];
    let value = match[2];
    if (parse === undefined) {
      if (value !== undefined && !["true", "false", "1", "0"].includes(value)) {
        throw new AgentError("INVALID_ARGUMENT", `flag -${name}: "${value}" is not true or false`);
      }
      parsed[name] = value === undefined || value === "true" || value === "1";
      continue;
    }
    if (value === undefined) value = argv[++index];
    if (value === undefined) throw new AgentError("INVALID_ARGUMENT", `flag -${name} needs a value`);
    try {
      parsed[name] = parse(value);
    } catch (cause) {
      throw new AgentError("INVALID_ARGUMENT", `flag -${name}: "${value}"`, { cause });
    }
  }
  return parsed as unknown as Flags;
}

export function flagsHelp(): string {
  const lines = Object.entries(flags).map(([name, flag]) => {
    const left = `  -${name}${flag.value === undefined ? "" : ` ${flag.value}`}`;
    const shown = flag.default === "" || flag.default === false ? "" : ` (default ${String(flag.default)})`;
    return `${left.padEnd(34)}${flag.help}${shown}`;
  });
  return `gcs: the guest compute service of a Linux utility VM.

It dials the host's bridge (vsock port 0x40000000, or the socket PREFIX_1073741824), retries until a host
listens, and then runs containers for it. Flags take one dash or two, "-flag value" or "-flag=value".

${lines.join("\n")}

Examples:
  gcs -v4 -log-format json -loglevel debug         in a utility VM, as hcsshim starts it
  gcs --transport unix:/tmp/dev --loglevel info    without a VM, for development
`;
}
