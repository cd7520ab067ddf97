"""The scripts with which bash, zsh and fish complete: they ask the program, so they are never old.

click has such scripts too. Its bash leaves spaces as they are, which microphones have, and wants
bash 4.4, where Macs have 3.2; its fish ends a value and its help at the first comma; its zsh wants
`compinit` to have run, which a Mac's own `.zshrc` does not do.
"""

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

BASH = """\
# shellcheck shell=bash
# bash completion for parakeet-coreml; works with macOS's own bash 3.2 too.
_parakeet_coreml() {
    local kind value what
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case "$kind" in
            dir | file)
                [ "$kind" = dir ] && what=-d || what=-f
                compopt -o filenames 2>/dev/null # a folder gets its slash; bash 3.2 does without
                while IFS= read -r value; do
                    COMPREPLY+=("$value")
                done < <(compgen "$what" -- "${COMP_WORDS[COMP_CWORD]#=}")
                ;;
            plain)
                case "$value" in # names of microphones have spaces
                    *[!A-Za-z0-9,._-]*) printf -v value %q "$value" ;;
                esac
                COMPREPLY+=("$value")
                ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        _PARAKEET_COREML_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -F _parakeet_coreml parakeet-coreml
"""

FISH = """\
function _parakeet_coreml
    set -l program (commandline -poc)[1]
    set -lx _PARAKEET_COREML_COMPLETE fish_complete
    set -lx COMP_WORDS (commandline -cp | string collect)
    set -lx COMP_CWORD (commandline -ct | string collect)
    $program 2>/dev/null | while read -l answer
        set -l part (string split -m 1 , -- $answer)
        switch $part[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain
                echo $part[2]
        end
    end
end
complete --no-files --command parakeet-coreml --arguments '(_parakeet_coreml)'
"""

ZSH = """\
#compdef parakeet-coreml
_parakeet_coreml() {
    local -a answer plain described
    local kind value help found=1
    answer=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \\
        _PARAKEET_COREML_COMPLETE=zsh_complete "${${(Q)words[1]}/#\\~\\//$HOME/}" 2>/dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for kind value help in "${answer[@]}"; do
        case $kind in
            dir) _path_files -/ && found=0 ;;
            file) _path_files && found=0 ;;
            plain) [[ $help == _ ]] && plain+=("$value") || described+=("$value:$help") ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U && found=0
    (( $#plain )) && compadd -V unsorted -a plain && found=0
    return found
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then # zsh found it by its name
    _parakeet_coreml "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _parakeet_coreml parakeet-coreml
fi
"""


class Bash(BashComplete):
    """bash, of any version."""

    def source(self) -> str:
        """Return the script."""
        return BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one; bash parts at `=`."""
        before, begun = super().get_completion_args()
        return [word for word in before if word != "="], begun


class Zsh(ZshComplete):
    """zsh, where nobody called `compinit` too."""

    def source(self) -> str:
        """Return the script."""
        return ZSH


class Fish(FishComplete):
    """fish, with commas in values, and values behind `=`."""

    option = ""
    """What stands before the value that is completed, in the same word."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        before, begun = super().get_completion_args()
        name, sign, _ = begun.partition("=")
        if sign and name.startswith("--"):
            self.option = name + sign
        return before, begun

    def format_completion(self, item: CompletionItem) -> str:
        """Return the line that says the whole word."""
        return super().format_completion(
            CompletionItem(self.option + item.value, item.type, item.help)
        )

    def source(self) -> str:
        """Return the script."""
        return FISH


def register() -> None:
    """Have click use these instead of its own."""
    for name, shell in {"bash": Bash, "zsh": Zsh, "fish": Fish}.items():
        add_completion_class(shell, name)
