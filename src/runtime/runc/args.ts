/**
 * Argument lists of the runtime's command line, as runc has it (man runc, and each command's --help) and crun shares
 * it. Pure: table-tested.
 */

export interface GlobalOptions {
  /** File for the runtime's log, JSON objects. */
  readonly log: string;
  /** Directory of the runtime's state; the runtime's own default where absent. */
  readonly root?: string | undefined;
}

/** Command and arguments of one call, without argv[0]. */
export function globalArguments(options: GlobalOptions): string[] {
  const root = options.root === undefined ? [] : ["--root", options.root];
  return [...root, "--log", options.log, "--log-format", "json"];
}

export interface CreateArguments {
  readonly id: string;
  readonly bundle: string;
  readonly pidFile: string;
  readonly consoleSocket?: string | undefined;
  readonly noPivot?: boolean;
}

export function createArguments(options: CreateArguments): string[] {
  return [
    "create",
    "--bundle",
    options.bundle,
    ...(options.noPivot ? ["--no-pivot"] : []),
    ...startArguments(options),
    options.id,
  ];
}

export interface ExecArguments {
  readonly id: string;
  /** File that holds the OCI process. */
  readonly process: string;
  readonly pidFile: string;
  readonly consoleSocket?: string | undefined;
}

/** Detached: the runtime exits once the process runs, and the process becomes the subreaper's child. */
export function execArguments(options: ExecArguments): string[] {
  return ["exec", "--detach", "--process", options.process, ...startArguments(options), options.id];
}

function startArguments(options: { pidFile: string; consoleSocket?: string | undefined }): string[] {
  const console = options.consoleSocket === undefined ? [] : ["--console-socket", options.consoleSocket];
  return ["--pid-file", options.pidFile, ...console];
}

export function deleteArguments(id: string, force = false): string[] {
  return ["delete", ...(force ? ["--force"] : []), id];
}

/** @param resources file that holds OCI linux.resources. */
export function updateArguments(id: string, resources: string): string[] {
  return ["update", "--resources", resources, id];
}

/** Commands that take the container's id alone. */
export function plainArguments(command: "start" | "state" | "pause" | "resume", id: string): string[] {
  return [command, id];
}

export function listArguments(): string[] {
  return ["list", "--format", "json"];
}

/** The container that a call is for, as the functions above build them; undefined for the list of all. */
export function containerOf(args: readonly string[]): string | undefined {
  return args[0] === "list" ? undefined : args.at(-1);
}

/**
 * Whether a container id is one that every runtime takes, and safe as part of a path.
 * 1 to 255 of [A-Za-z0-9_+.-], the first a letter or digit: so it is no option and neither "." nor "..".
 */
export function isContainerId(id: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_+.-]{0,254}$/.test(id);
}
