//! The scripts: each asks the program, and hands on what it says.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::args::Cli;

/// The script for a shell.
pub fn of(shell: Shell) -> Vec<u8> {
    match shell {
        Shell::Bash => BASH.into(),
        Shell::Zsh => ZSH.into(),
        Shell::Fish => FISH.into(),
        // Commands and flags only.
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Cli::command(), "hoist", &mut script);
            script
        }
    }
}

const BASH: &str = r#"# bash completion for hoist
_hoist() {
    local typed="${COMP_LINE:0:COMP_POINT}" current reply line own=""
    local -a words
    read -ra words <<< "$typed"
    [[ $typed == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    COMPREPLY=()
    while IFS= read -r line; do
        case "$line" in
            :files | :dirs) own="$line" ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2> /dev/null)
    # What bash takes for the word begins after the last of its breaks.
    local before=""
    if [[ $current == *[:=]* ]]; then
        before="${current%"${current##*[:=]}"}"
    fi
    case "$own" in
        :files | :dirs)
            compopt -o filenames 2> /dev/null
            local kind="-f"
            [[ $own == :dirs ]] && kind="-d"
            while IFS= read -r line; do
                COMPREPLY+=("$line")
            done < <(compgen "$kind" -- "${current#"$before"}")
            return
            ;;
    esac
    local at
    for at in "${!COMPREPLY[@]}"; do
        COMPREPLY[at]="${COMPREPLY[at]#"$before"}"
    done
}
complete -F _hoist hoist
"#;

const ZSH: &str = r#"#compdef hoist
_hoist() {
    local line own=""
    local -a candidates
    while IFS= read -r line; do
        case "$line" in
            :files | :dirs) own="$line" ;;
            *$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) candidates+=("${line//:/\\:}") ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2> /dev/null)
    case "$own" in
        :files) _files ;;
        :dirs) _files -/ ;;
        *) (( ${#candidates} )) && _describe -V hoist candidates ;;
    esac
}
if [[ "${funcstack[1]}" == _hoist ]]; then
    _hoist "$@"
else
    compdef _hoist hoist
fi
"#;

const FISH: &str = r#"# fish completion for hoist
function __hoist_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l program $words[1]
    for line in ($program __complete $words[2..-1] 2> /dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :dirs
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c hoist -f -a '(__hoist_complete)'
"#;
