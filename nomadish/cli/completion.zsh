#compdef nomadish
# Completion of nomadish for zsh. The words before the cursor go to the program itself.
_nomadish() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == ":files" ]]; then
        _files
        return
    fi
    compadd -- ${found:#}
}
if [[ "${funcstack[1]}" == "_nomadish" ]]; then
    _nomadish "$@"
else
    compdef _nomadish nomadish
fi
