#!/usr/bin/env bash
# Installs what building and testing need beside Go, where it is missing: on Debian, as root.
# With "dist", also what building for arm64 needs. Elsewhere it says what is missing.
set -euo pipefail

need=()
has() { command -v "$1" >/dev/null; }
has gcc || need+=(gcc libc6-dev)
has make || need+=(make)
has git || need+=(git)
has ip || need+=(iproute2)
has pkg-config || need+=(pkg-config)
pkg-config --exists libseccomp 2>/dev/null || need+=(libseccomp-dev)
if [[ ${1:-} == dist ]]; then
	has aarch64-linux-gnu-gcc || need+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
	has dpkg-deb || need+=(dpkg)
fi
# Without the shells whose completion is tested, openssl, and strace, which has disks fail, everything builds.
tests=()
has strace || tests+=(strace)
has openssl || tests+=(openssl)
has zsh || tests+=(zsh)
has fish || tests+=(fish)
((${#need[@]} + ${#tests[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! has apt-get; then
	((${#need[@]})) || exit 0
	echo "missing, and only root on a Debian machine can have it installed here: ${need[*]}" >&2
	# Without libseccomp the build works and containers have no system call filter.
	[[ ${need[*]} == libseccomp-dev || ${need[*]} == "pkg-config libseccomp-dev" ]] && exit 0
	exit 1
fi
need+=("${tests[@]}")
echo "==> installing ${need[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install -qy --no-install-recommends "${need[@]}" >/dev/null 2>&1 || {
	apt-get update -q >/dev/null
	apt-get install -qy --no-install-recommends "${need[@]}" >/dev/null
}
