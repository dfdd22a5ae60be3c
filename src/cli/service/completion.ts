import { UsageError } from "../arguments.ts";
import { print } from "../output.ts";

/** Names of systems come from the service; without one there are none. */
const BASH = `# bash completion for lcow. To use it: source <(lcow completion bash)
_lcow() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} words
  if ((COMP_CWORD == 1)); then
    words="@COMMANDS@ --help --version"
  elif [[ $current == -* ]]; then
    words=$(lcow "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+')
  else
    case $command in
      start | exec | ps | stats | logs | signal | pause | resume | stop | rm | wait)
        words=$(lcow list --names 2>/dev/null)
        ;;
      completion) words=bash ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _lcow lcow
`;

/** @param commands all that lcow knows */
export function completionMain(commands: readonly string[]) {
  return async (words: readonly string[]): Promise<number> => {
    const [shell, ...rest] = words;
    if (shell === "--help" || shell === "-h") {
      await print(
        "Usage: lcow completion bash\n\nPrints what makes bash complete lcow's commands, options and names.\n",
      );
      return 0;
    }
    if (shell !== "bash" || rest.length > 0) throw new UsageError("completion knows bash only");
    await print(BASH.replace("@COMMANDS@", commands.join(" ")));
    return 0;
  };
}
