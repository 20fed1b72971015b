import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The words that may follow, for the shell scripts below. `words` are those after `potoroo`, the last one being typed. */
export function candidates(program: Command, words: readonly string[]): string[] {
  const typed = words.at(-1) ?? '';
  let command = program;
  let before = '';
  for (const word of words.slice(0, -1)) {
    const next = command.commands.find((c) => c.name() === word || c.aliases().includes(word));
    if (next !== undefined) command = next;
    before = word;
  }
  const options = [...command.options, ...program.options];
  const valued = options.find((option) => (option.long === before || option.short === before) && (option.required || option.optional));
  if (valued !== undefined) return (valued.argChoices ?? []).filter((choice) => choice.startsWith(typed));
  if (typed.startsWith('-')) return [...new Set(options.filter((o) => !o.hidden).map((o) => o.long ?? o.short ?? '').concat('--help'))].filter((o) => o.startsWith(typed));
  const subcommands = command.commands.map((c) => c.name()).filter((name) => !name.startsWith('__'));
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  return [...subcommands, ...choices].filter((name) => name.startsWith(typed));
}

/** Scripts that ask `potoroo __complete`; where it has nothing to offer, the shell completes file names. */
export function completionScript(shell: Shell): string {
  return scripts[shell];
}

const scripts: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for potoroo: add to ~/.bashrc
#   source <(potoroo completion bash)
_potoroo() {
  local IFS=$'\\n'
  COMPREPLY=($(potoroo __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _potoroo potoroo`,
  zsh: `#compdef potoroo
# zsh completion for potoroo: add to ~/.zshrc, after compinit
#   source <(potoroo completion zsh)
_potoroo() {
  local -a found
  found=("\${(@f)$(potoroo __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${#found} )); then compadd -- "\${found[@]}"; else _files; fi
}
if [ "\${funcstack[1]}" = "_potoroo" ]; then _potoroo "$@"; else compdef _potoroo potoroo; fi`,
  fish: `# fish completion for potoroo
#   potoroo completion fish > ~/.config/fish/completions/potoroo.fish
function __potoroo_complete
  set -l words (commandline -opc) (commandline -ct)
  potoroo __complete -- $words[2..-1] 2>/dev/null
end
complete -c potoroo -f -n 'test -n "(__potoroo_complete)"' -a '(__potoroo_complete)'`,
};
