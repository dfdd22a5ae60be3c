/**
 * What the shells source. Each asks the command as it was typed, by `lcow __complete WORD...`: a candidate a line, and
 * a last line that says what files to look for.
 */
const BASH = `# bash completion for lcow. To use it: source <(lcow completion bash)
_lcow() {
  local IFS=$'\\n' command=\${COMP_WORDS[0]/#\\~\\//$HOME/} words=() lines=() prefix="" index
  # Bash takes --option=value apart.
  for ((index = 1; index <= COMP_CWORD; index++)); do
    if ((\${#words[@]})) && [[ \${COMP_WORDS[index]} == "=" || \${words[-1]} == --*= ]]; then
      words[-1]+=\${COMP_WORDS[index]}
    else
      words+=("\${COMP_WORDS[index]}")
    fi
  done
  [[ \${words[-1]} == --*=* ]] && prefix=\${words[-1]%%=*}=
  mapfile -t lines < <("$command" __complete "\${words[@]}" 2>/dev/null)
  COMPREPLY=()
  ((\${#lines[@]})) || return 0
  case \${lines[-1]} in
    :file) compopt -o default 2>/dev/null ;;
    :directory) compopt -o dirnames 2>/dev/null ;;
  esac
  unset 'lines[-1]'
  COMPREPLY=("\${lines[@]#"$prefix"}")
}
complete -F _lcow lcow
`;

const ZSH = `#compdef lcow
# zsh completion for lcow. To use it: source <(lcow completion zsh)
_lcow() {
  local command=\${words[1]/#\\~\\//$HOME/}
  local -a lines
  lines=("\${(@f)$("$command" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  local files=\${lines[-1]}
  lines=("\${(@)lines[1,-2]}")
  ((\${#lines})) && compadd -a lines
  [[ $PREFIX == --*=* ]] && compset -P '*='
  case $files in
    :file) _files ;;
    :directory) _files -/ ;;
  esac
}
# Read by a shell, or as a file of fpath, whose text is the function's when it is first called.
if [[ $funcstack[1] == _lcow ]]; then _lcow "$@"; else compdef _lcow lcow; fi
`;

const FISH = `# fish completion for lcow. To use it: lcow completion fish | source
function __lcow_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l command (string replace -r '^~/' "$HOME/" -- $words[1])
  set -l lines ($command __complete $words[2..] 2>/dev/null)
  set -q lines[1]; or return
  set -q lines[2]; and printf '%s\\n' $lines[1..-2]
  # Of --option=value it is the value that is a path.
  set -l option (string match -r '^--[^=]*=' -- $words[-1])
  set -l path (string replace -r '^--[^=]*=' '' -- $words[-1])
  switch $lines[-1]
    case :file
      printf "$option%s\\n" (__fish_complete_path $path)
    case :directory
      printf "$option%s\\n" (__fish_complete_directories $path)
  end
end
complete -c lcow -f -a '(__lcow_complete)'
`;

export const scripts = { bash: BASH, zsh: ZSH, fish: FISH } as const;
