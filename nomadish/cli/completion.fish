# Completion of nomadish for fish. The words before the cursor go to the program itself.
function __nomadish_complete
    set -l words (commandline -opc)
    set -l found ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\n' $found
end
complete -c nomadish -f -a '(__nomadish_complete)'
