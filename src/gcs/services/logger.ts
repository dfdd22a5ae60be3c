/**
 * The agent's log, in the shape that hcsshim's host reads: JSON lines with `time` (RFC 3339 with nanoseconds),
 * `level` (trace, debug, info, warning, error, fatal) and `msg`. Source: hcsshim internal/uvm (log parsing).
 */
import { type Logger as Pino, pino } from "pino";
import type { Logger } from "../../common/log.ts";
import type { LogLevel } from "../flags.ts";
import { LogStream } from "./log-stream.ts";

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  readonly fd: number;
}

export interface AgentLogger extends Logger {
  fatal(fields: object, message: string): void;
  /** Waits, at most `timeoutMs`, until all lines are written. @returns whether they are */
  drained(timeoutMs: number): Promise<boolean>;
}

const bootOffset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

function timestamp(): string {
  const now = bootOffset + process.hrtime.bigint();
  const seconds = new Date(Number(now / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${String(now % 1_000_000_000n).padStart(9, "0")}Z`;
}

/** `time="..." level=info msg="..." key=value`, as logrus prints it. */
function textLine(json: string): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const quote = (value: unknown) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return /^[\w./:@^+-]+$/.test(text) ? text : JSON.stringify(text);
  };
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(value)}`);
  return `time=${JSON.stringify(time)} level=${String(level)} msg=${quote(msg)}${rest.join("")}\n`;
}

export function createLogger(options: LoggerOptions): AgentLogger {
  const shape = options.format === "json" ? (line: string) => line : textLine;
  const stream = new LogStream(options.fd, (count) =>
    shape(`{"level":"warning","time":"${timestamp()}","count":${count},"msg":"log lines were dropped"}\n`),
  );
  const logger: Pino = pino(
    {
      level: options.level === "warning" ? "warn" : options.level,
      base: null,
      timestamp: () => `,"time":"${timestamp()}"`,
      formatters: { level: (label) => ({ level: label === "warn" ? "warning" : label }) },
    },
    { write: (line) => stream.write(shape(line)) },
  );
  return Object.assign(logger as unknown as AgentLogger, { drained: (ms: number) => stream.drained(ms) });
}
