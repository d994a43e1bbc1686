# Completion of nomadish for bash. The words before the cursor go to the program itself.
_nomadish() {
    local line="${COMP_LINE:0:COMP_POINT}" current="" words word
    local IFS=$' \t\n'
    read -r -a words <<< "$line"
    if [[ "$line" == *[[:space:]] ]]; then
        words+=("")
    fi
    current="${words[${#words[@]}-1]}"
    local found
    found="$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)" || return
    COMPREPLY=()
    if [[ "$found" == ":files" ]]; then
        local IFS=$'\n'
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
        return
    fi
    # bash splits words at : and =, the program does not: it wants what follows the split alone.
    local split="${COMP_WORDS[COMP_CWORD]}"
    [[ "$split" == ":" || "$split" == "=" ]] && split=""
    local head="${current%"$split"}"
    while IFS= read -r word; do
        [[ -n "$word" ]] && COMPREPLY+=("${word#"$head"}")
    done <<< "$found"
}
complete -F _nomadish nomadish
