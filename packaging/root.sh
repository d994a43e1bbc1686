#!/usr/bin/env bash
# Copies the one file that packaging/dist.sh built into a bare Debian root, makes that the whole
# file system of a process, and runs a container there: nothing of this machine is seen but its
# kernel. It needs root.
#
#	packaging/root.sh [DIST]
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
dist=${1:-$repo/dist}
program=$(ls "$dist"/nomadish-*-linux-"$(dpkg --print-architecture)" | head -1)
command -v debootstrap >/dev/null || { apt-get update -q >/dev/null; apt-get install -qy --no-install-recommends debootstrap >/dev/null; }

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
echo "==> a bare Debian root"
debootstrap --variant=minbase bookworm "$work/root" >"$work/log" || { tail "$work/log" >&2; exit 1; }
install -m 755 "$program" "$work/root/usr/bin/nomadish"
CGO_ENABLED=0 go -C "$repo" build -o "$work/web" ./examples/web
go -C "$repo" run ./examples/image -name nomadish.dev/hello:1 -out "$work/root/root/hello.tar" "$work/web"
install -m 644 "$repo/packaging/machine/container.nomad.hcl" "$work/root/root/"
sed -i 's#/opt/hello.tar#/root/hello.tar#' "$work/root/root/container.nomad.hcl"
cat >"$work/root/root/try.sh" <<'T'
set -eu
mount -t proc proc /proc
umount -l /old
rmdir /old
cd /root
cat >agent.hcl <<-C
	bind_addr = "127.0.0.1"
	plugin "docker" {
	  config {
	    image_archives = ["/root"]
	  }
	}
C
nomadish version
nomadish agent -dev -config agent.hcl >agent.log 2>&1 &
agent=$!
trap 'kill -INT $agent; wait $agent || true' EXIT
for i in $(seq 300); do
	[ "$(nomadish node status -t '{{range .}}{{.Status}}{{end}}' 2>/dev/null)" = ready ] && break
	sleep 0.1
done
nomadish job run container.nomad.hcl || { cat agent.log; exit 1; }
port=$(nomadish alloc status -t '{{range .AllocatedResources.Shared.Ports}}{{.Value}}{{end}}' container)
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.0\r\n\r\n' >&3
answer=$(cat <&3)
echo "port $port answers: ${answer##*$'\n'}"
case $answer in *"200 OK"*) ;; *) exit 1 ;; esac
nomadish job stop -purge container
T
echo "==> running there"
unshare --mount --pid --net --ipc --uts --fork --propagation private bash -eu -c '
	root=$1
	mount --bind "$root" "$root"
	for at in sys dev; do mount --rbind "/$at" "$root/$at"; done
	mount -t tmpfs tmpfs "$root/run"
	ip link set lo up
	mkdir "$root/old"
	cd "$root"
	pivot_root . old
	exec chroot . /bin/bash /root/try.sh
' - "$work/root"
echo "==> passed"
