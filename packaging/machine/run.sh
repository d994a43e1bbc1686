#!/usr/bin/env bash
# Boots Debian with systemd and control groups of version 2 in an emulator, installs the package
# that packaging/dist.sh built, and looks at what a service manager, an upgrade and a reboot do to
# running tasks: see guest.sh. It needs root, for making the machine's disk, and no network beside
# that of apt.
#
#	packaging/machine/run.sh [DIST]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
dist=${1:-$repo/dist}
deb=$(ls "$dist"/nomadish_*_amd64.deb)
kernel=linux-image-cloud-amd64

need=()
for pair in debootstrap:debootstrap qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs cpio:cpio; do
	command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
[[ -x /bin/busybox ]] || need+=(busybox-static)
if ((${#need[@]})); then
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${need[@]}" >/dev/null
fi

work=${NOMADISH_MACHINE_DIR:-$(mktemp -d)}
[[ -n ${NOMADISH_MACHINE_DIR:-} ]] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"
if [[ ! -f $work/base.done ]]; then
	echo "==> a Debian root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,kmod,udev,procps \
		bookworm "$work/root" >"$work/debootstrap.log" || { tail "$work/debootstrap.log" >&2; exit 1; }
	echo "==> a kernel"
	image=$(apt-cache depends "$kernel" | sed -n 's/.*Depends: //p' | head -1)
	(cd "$work" && apt-get -o APT::Sandbox::User=root -q download "$image" >/dev/null && dpkg -x "$image"_*.deb kernel)
	mv "$work/kernel/lib/modules" "$work/root/usr/lib/modules"
	chroot "$work/root" depmod "$(ls "$work/root/usr/lib/modules")"
	touch "$work/base.done"
fi
version=$(ls "$work/root/usr/lib/modules")

echo "==> the programs of the test"
CGO_ENABLED=0 go -C "$repo" build -o "$work/web" ./examples/web
go -C "$repo" run ./examples/image -name nomadish.dev/hello:1 -out "$work/hello.tar" "$work/web"
install -D -m 644 "$deb" "$work/root/opt/nomadish.deb"
install -m 644 "$work/hello.tar" "$work/root/opt/hello.tar"
install -m 755 "$here/guest.sh" "$work/root/opt/guest.sh"
install -m 644 "$here/container.nomad.hcl" "$here/process.nomad.hcl" "$work/root/opt/"
install -m 644 "$here/guest.service" "$work/root/etc/systemd/system/guest.service"
ln -sf /etc/systemd/system/guest.service "$work/root/etc/systemd/system/multi-user.target.wants/guest.service"
echo machine >"$work/root/etc/hostname"
rm -rf "$work/root/var/lib/nomadish" "$work/root/etc/nomadish.d" "$work/root/opt/stage"

echo "==> its disk"
rm -f "$work/disk"
truncate -s 3G "$work/disk"
mke2fs -q -t ext4 -d "$work/root" "$work/disk"
mkdir -p "$work/initrd/bin"
cp /bin/busybox "$work/initrd/bin/"
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	find "$work/root/usr/lib/modules/$version" -name "$m.ko" -exec cp {} "$work/initrd/" \;
done
cat >"$work/initrd/init" <<'I'
#!/bin/busybox sh
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	/bin/busybox insmod /$m.ko
done
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs dev /dev
while ! /bin/busybox mount -t ext4 /dev/vda /root; do /bin/busybox sleep 0.1; done
exec /bin/busybox switch_root /root /sbin/init
I
chmod 755 "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

rm -f "$work/console" "$work/results"
echo "==> booting (emulated: minutes)"
timeout 1500 qemu-system-x86_64 -machine pc,accel=tcg -cpu max -m 2048 -smp 2 -nic none -display none -no-user-config \
	-kernel "$work/kernel/boot/vmlinuz-$version" -initrd "$work/initrd.gz" \
	-append "console=ttyS0 quiet systemd.show_status=no net.ifnames=0" \
	-drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -serial "file:$work/console" -serial "file:$work/results" &
emulator=$!
trap 'kill $emulator 2>/dev/null; [[ -n ${NOMADISH_MACHINE_DIR:-} ]] || rm -rf "$work"' EXIT
tail --pid=$emulator -F "$work/results" 2>/dev/null | sed -un 's/\r$//; s/^guest: //p'
wait $emulator || true
if ! grep -q 'guest: passed' "$work/results"; then
	tail -50 "$work/console" "$work/results" >&2
	echo "the machine did not pass" >&2
	exit 1
fi
