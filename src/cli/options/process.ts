import type { OptionDescription, ParsedArguments } from "../arguments.ts";
import { readContainerPath, readGroup, readUser, readVariable } from "../values.ts";
import { readEnvironmentFile } from "./environment-file.ts";

export const INTERACTIVE: OptionDescription = {
  name: "interactive",
  short: "i",
  help: "connect standard input; without it the command's is empty",
};
export const TTY: OptionDescription = { name: "tty", short: "t", help: "give the command a terminal" };
const ENV: OptionDescription<string | undefined> = {
  name: "env",
  short: "e",
  value: "NAME=VALUE",
  multiple: true,
  read: readVariable,
  completes: "variable",
  help: "set a variable; NAME alone takes the value it has here, if any",
};
const ENV_FILE: OptionDescription<readonly string[]> = {
  name: "env-file",
  value: "FILE",
  multiple: true,
  read: readEnvironmentFile,
  completes: "file",
  help: "set what its lines say, as --env does, which wins; # begins a comment",
};
const WORKDIR: OptionDescription<string> = {
  name: "workdir",
  short: "w",
  value: "DIR",
  read: readContainerPath,
  help: "working directory in the container (default /)",
};
const USER: OptionDescription<string> = {
  name: "user",
  short: "u",
  value: "USER",
  read: readUser,
  help: "UID[:GID] or NAME[:GROUP] of the root's /etc/passwd and /etc/group\n(default root)",
};

const GROUP_ADD: OptionDescription<string> = {
  name: "group-add",
  value: "GROUP",
  multiple: true,
  read: readGroup,
  help: "a further group, by name or number, beside those that list the user",
};

/** Options about a process in a container: all that `exec` has of it, and what `run` and `create` share with it. */
export const PROCESS_OPTIONS: readonly OptionDescription[] = [
  INTERACTIVE,
  TTY,
  ENV,
  ENV_FILE,
  WORKDIR,
  USER,
  GROUP_ADD,
];

/** What is to run in a container. */
export interface ProcessRequest {
  readonly command: readonly string[];
  readonly interactive: boolean;
  readonly terminal: boolean;
  /** NAME=VALUE, each name once. */
  readonly environment: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly additionalGroups: readonly string[];
}

/** @throws UsageError */
export function readProcess(found: ParsedArguments, command: readonly string[]): ProcessRequest {
  const variables = [...found.readAll(ENV_FILE).flat(), ...found.readAll(ENV)];
  // The last one counts, and files come first.
  const byName = new Map<string, string>();
  for (const variable of variables) {
    if (variable !== undefined) byName.set(variable.slice(0, variable.indexOf("=")), variable);
  }
  return {
    command,
    interactive: found.has("interactive"),
    terminal: found.has("tty"),
    environment: [...byName.values()],
    workingDirectory: found.read(WORKDIR),
    user: found.read(USER),
    additionalGroups: found.readAll(GROUP_ADD),
  };
}
