/** A program with the runtime's command line that does as a test says, and else is the runtime. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

/**
 * Of the arguments it finds $command, $log and $pid_file, and does what is asked for that command: a fragment of a
 * shell's script. What returns goes on as the runtime.
 */
const script = (real: string, faults: string) => `#!/bin/sh
real=${real}
last=
command=
for word; do
  case $last in
    --log) log=$word ;;
    --pid-file) pid_file=$word ;;
    --root | --log-format) ;;
    *) case $word in --*) ;; *) [ "$command" ] || command=$word ;; esac ;;
  esac
  last=$word
done
[ -e ${faults}/$command ] && . ${faults}/$command
exec $real "$@"
`;

export class FaultyRuntime {
  readonly #directory = mkdtempSync(`${tmpdir()}/faulty-`);
  readonly path: string;

  /** @param name the agent knows more of what is called "runc" than of others: their start and deletion */
  constructor(name: string) {
    this.path = `${this.#directory}/${name}`;
    mkdirSync(`${this.#directory}/faults`);
    this.mend();
  }

  /** From now on, where the command is this. @param fragment of a shell's script: "kill -9 $$" */
  fail(command: string, fragment: string): void {
    writeFileSync(`${this.#directory}/faults/${command}`, `${fragment}\n`);
  }

  /** Puts itself back, and does everything as the runtime does it. */
  mend(): void {
    rmSync(`${this.#directory}/faults`, { recursive: true });
    mkdirSync(`${this.#directory}/faults`);
    rmSync(this.path, { recursive: true, force: true });
    writeFileSync(this.path, script("runc", `${this.#directory}/faults`));
    chmodSync(this.path, 0o755);
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}
