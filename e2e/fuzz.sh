#!/usr/bin/env bash
# Runs every fuzz target of the module one after the other.
#
#	e2e/fuzz.sh 1000000x    so many executions each
#	e2e/fuzz.sh 30s         so long each
#
# Prints a line per target. Ends with 1 if there was a finding, whose input go test has then
# written below the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:?want a number of executions such as 100000x, or a duration such as 30s}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
targets=0 findings=0
while read -r pkg; do
	while read -r target; do
		targets=$((targets + 1))
		begin=$SECONDS
		result=ok
		if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$times" "$pkg" >"$log" 2>&1; then
			result=FINDING
			findings=$((findings + 1))
		fi
		execs=$(grep -oE 'execs: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2 || true)
		printf '%-8s %10s executions %5ds  %s %s\n' "$result" "${execs:-0}" $((SECONDS - begin)) "$target" "$pkg"
		if [[ $result != ok ]]; then
			tail -n 40 "$log"
		fi
	done < <(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true)
done < <(grep -lr --include='*_test.go' '^func Fuzz' . | xargs -r -n 1 dirname | sort -u)
echo "$targets targets, $findings with a finding"
((findings == 0))
