#!/usr/bin/env bash
# Boots Debian with systemd and control groups of version 2 in an emulator, and tries the package that
# packaging/dist.sh built there: on one machine what a service manager, an upgrade and a reboot do to
# running tasks (guest.sh), on three a secured cluster as "nomadish init" and "nomadish join" make it
# (cluster.sh). It needs root, for making the machines' disk, and no network beside that of apt.
#
#	packaging/machine/run.sh [DIST [package|cluster]]
set -euo pipefail
dist=$(realpath "${1:-$(dirname "$0")/../../dist}")
which=${2:-package cluster}
work=${NOMADISH_MACHINE_DIR:-$(mktemp -d)}
[[ -n ${NOMADISH_MACHINE_DIR:-} ]] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"
. "$(dirname "$0")/machine.sh"
tools
base
disk

# package is the test on one machine.
package() {
	rm -f "$work/results" && : >"$work/results"
	echo "==> one machine boots (emulated: minutes)"
	(boot machine guest=package -m 2048 -smp 2 -nic none -serial "file:$work/results") &
	local emulator=$!
	tail --pid=$emulator -F "$work/results" 2>/dev/null | sed -un 's/\r$//; s/^guest: //p'
	wait $emulator || true
	grep -q 'guest: passed' "$work/results" && return
	tail -50 "$work/machine.console" "$work/results" >&2
	echo "the machine did not pass" >&2
	return 1
}

for test in $which; do
	case $test in
	package) package ;;
	# A network of its own: the machines' is multicast on its loopback.
	cluster) unshare --net bash "$here/cluster.sh" "$work" ;;
	*) echo "no test $test" >&2; exit 2 ;;
	esac
done
