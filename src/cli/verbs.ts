/** All that `lcow` can be told to do. Each verb is loaded when it is asked for: a start takes most of a short run. */
import { nearest, type OptionDescription, quote, UsageError } from "./arguments.ts";
import type { Verb } from "./verb.ts";

export interface VerbEntry {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  load(): Promise<{ readonly verb: Verb }>;
}

export const verbs: readonly VerbEntry[] = [
  { name: "run", summary: "run a command in a new container", load: () => import("./run/command.ts") },
  {
    name: "boot",
    summary: "boot a virtual machine and open a shell in it",
    load: () => import("./boot.ts"),
  },
  {
    name: "image",
    summary: "build the image that run and boot use",
    load: () => import("./image.ts"),
  },
  {
    name: "prune",
    summary: "remove cached images and what killed commands left",
    load: () => import("./prune.ts"),
  },
  {
    name: "serve",
    summary: "keep containers beyond a command's life",
    load: () => import("./service/serve.ts"),
  },
  { name: "create", summary: "make a container for start", load: () => import("./service/create.ts") },
  { name: "start", summary: "start containers", load: () => import("./service/start.ts") },
  {
    name: "restart",
    summary: "stop containers and start them anew",
    load: () => import("./service/restart.ts"),
  },
  {
    name: "attach",
    summary: "connect to a running container",
    load: () => import("./service/attach-command.ts"),
  },
  {
    name: "exec",
    summary: "run a further command in a container",
    load: () => import("./service/exec.ts"),
  },
  {
    name: "ps",
    aliases: ["top"],
    summary: "show a container's processes",
    load: () => import("./service/ps.ts"),
  },
  { name: "stats", summary: "show what containers use", load: () => import("./service/stats.ts") },
  { name: "logs", summary: "show what a container has written", load: () => import("./service/logs.ts") },
  { name: "inspect", summary: "show all that is known, as JSON", load: () => import("./service/inspect.ts") },
  { name: "signal", summary: "send a signal to a process", load: () => import("./service/signal.ts") },
  {
    name: "kill",
    summary: "send a signal, or SIGKILL, to containers",
    load: () => import("./service/kill.ts"),
  },
  { name: "pause", summary: "stop containers where they are", load: () => import("./service/pause.ts") },
  {
    name: "resume",
    aliases: ["unpause"],
    summary: "let paused containers go on",
    load: () => import("./service/resume.ts"),
  },
  { name: "stop", summary: "end containers", load: () => import("./service/stop.ts") },
  { name: "wait", summary: "wait for containers' ends", load: () => import("./service/wait.ts") },
  { name: "rm", summary: "remove stopped containers", load: () => import("./service/rm.ts") },
  { name: "list", aliases: ["ls"], summary: "show all systems", load: () => import("./service/list.ts") },
  {
    name: "doctor",
    summary: "check what this machine lacks for lcow",
    load: () => import("./doctor/command.ts"),
  },
  {
    name: "diagnose",
    summary: "pack what is known of a system, without its secrets",
    load: () => import("./diagnose/command.ts"),
  },
  {
    name: "completion",
    summary: "print a script of completions for a shell",
    load: () => import("./completion/command.ts"),
  },
];

export const ABOUT = "Linux containers, driven through a guest compute service";

/** In front of a verb, or instead of one. */
export const GLOBAL_OPTIONS: readonly OptionDescription[] = [
  { name: "debug", help: "tell where an error came from, too; so does LCOW_DEBUG=1" },
  {
    name: "help",
    short: "h",
    help: 'show this help; "lcow COMMAND --help" and "lcow help COMMAND" tell more',
  },
  { name: "version", short: "V", help: "show the version" },
];

export const EXAMPLES: readonly (readonly [line: string, about: string])[] = [
  ["lcow run -- /bin/uname -a", "in a container in a virtual machine"],
  ["lcow run --local -- /bin/sh -c 'echo hello'", "in a container on this machine"],
];

/** What may stand where a verb does, besides the verbs' own names. */
export const BESIDE_VERBS = ["help", "--debug", "--help", "--version"] as const;

/** Every word that means a verb. */
export function verbWords(): string[] {
  return verbs.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]);
}

/** By name or alias. @throws UsageError naming the nearest */
export function findVerb(name: string): VerbEntry {
  const entry = verbs.find((verb) => verb.name === name || verb.aliases?.includes(name));
  if (entry !== undefined) return entry;
  const near = nearest(name, [...verbWords(), ...BESIDE_VERBS]);
  const kind = name.startsWith("-") ? "option" : "command";
  throw new UsageError(
    `unknown ${kind} ${quote(name)}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

/** @returns the exit status @throws UsageError that knows its verb */
export async function dispatch(name: string, words: readonly string[]): Promise<number> {
  const entry = findVerb(name);
  const [{ verb }, { runVerb }] = await Promise.all([entry.load(), import("./verb.ts")]);
  try {
    return await runVerb(entry.name, verb, words);
  } catch (error) {
    if (error instanceof UsageError) error.verb ??= entry.name;
    throw error;
  }
}
