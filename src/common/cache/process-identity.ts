/** Names a process for good, in a file name: so that others can tell whether what it left behind is still its own. */
import { readFileSync, readlinkSync } from "node:fs";

/** A process of another machine or container cannot be asked; what it marked is its own for this long. */
const UNKNOWN_LIVES_MS = 24 * 60 * 60_000;

interface Identity {
  /** The machine, since when it runs. */
  readonly boot: string;
  /** The pid namespace in which the pid counts. */
  readonly namespace: string;
  readonly pid: string;
  /** Clock ticks since the boot: pids are used again. */
  readonly start: string;
}

let own: string | undefined;

/** This process: "BOOT-NAMESPACE-PID-START". */
export function ownIdentity(): string {
  own ??= [bootId(), pidNamespace(), process.pid, startOf("self")].join("-");
  return own;
}

/** @param markedMs when it was last seen to live, for one that cannot be asked */
export function isAlive(identity: string, markedMs: number): boolean {
  const parsed = parse(identity);
  if (parsed === undefined) return Date.now() - markedMs < UNKNOWN_LIVES_MS;
  if (parsed.boot !== bootId() || parsed.namespace !== pidNamespace()) {
    return Date.now() - markedMs < UNKNOWN_LIVES_MS;
  }
  return startOf(parsed.pid) === parsed.start;
}

function parse(text: string): Identity | undefined {
  const [, boot, namespace, pid, start] = /^([\da-f]{8})-(\d+)-(\d+)-(\d+)$/.exec(text) ?? [];
  if (boot === undefined || namespace === undefined || pid === undefined || start === undefined)
    return undefined;
  return { boot, namespace, pid, start };
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
}

/** "pid:[4026531836]" */
function pidNamespace(): string {
  return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0";
}

/** Field 22 of proc_pid_stat(5); the second, in parentheses, may hold anything. A zombie has ended. */
function startOf(pid: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // there is no such process
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[22 - 3];
}
