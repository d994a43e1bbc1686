# What the tests of the package in emulated machines have in common: sourced, with $dist and $work set.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)

# tools installs what making and emulating machines needs.
tools() {
	local pair need=()
	for pair in debootstrap:debootstrap qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs cpio:cpio; do
		command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
	done
	[[ -x /bin/busybox ]] || need+=(busybox-static)
	((${#need[@]})) || return 0
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${need[@]}" >/dev/null
}

# base makes a Debian root, with its kernel beside.
base() {
	local image kernel=linux-image-cloud-amd64
	[[ ! -f $work/base.done ]] || return 0
	echo "==> a Debian root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,kmod,udev,procps \
		bookworm "$work/root" >"$work/debootstrap.log" || { tail "$work/debootstrap.log" >&2; return 1; }
	echo "==> a kernel"
	image=$(apt-cache depends "$kernel" | sed -n 's/.*Depends: //p' | head -1)
	(cd "$work" && apt-get -o APT::Sandbox::User=root -q download "$image" >/dev/null && dpkg -x "$image"_*.deb kernel)
	mv "$work/kernel/lib/modules" "$work/root/usr/lib/modules"
	chroot "$work/root" depmod "$(ls "$work/root/usr/lib/modules")"
	touch "$work/base.done"
}

# disk makes the disk that machines begin with: the root, the package, the programs of the tests.
disk() {
	echo "==> the programs of the test"
	CGO_ENABLED=0 go -C "$repo" build -o "$work/web" ./examples/web
	go -C "$repo" run ./examples/image -name nomadish.dev/hello:1 -out "$work/hello.tar" "$work/web"
	install -D -m 644 "$(ls "$dist"/nomadish_*_amd64.deb)" "$work/root/opt/nomadish.deb"
	install -m 644 "$work/hello.tar" "$work/root/opt/hello.tar"
	install -m 755 "$here/guest.sh" "$here/shell.sh" "$work/root/opt/"
	install -m 644 "$here"/*.nomad.hcl "$work/root/opt/"
	install -m 644 "$here"/*.service "$work/root/etc/systemd/system/"
	ln -sf /etc/systemd/system/{guest,shell}.service "$work/root/etc/systemd/system/multi-user.target.wants/"
	echo machine >"$work/root/etc/hostname"
	: >"$work/root/etc/machine-id" # each makes its own
	rm -rf "$work/root/var/lib/nomadish" "$work/root/etc/nomadish.d" "$work/root/opt/stage"
	echo "==> their disk"
	rm -f "$work/disk"
	truncate -s 3G "$work/disk"
	mke2fs -q -t ext4 -d "$work/root" "$work/disk"
	initrd
}

# initrd makes what the kernel begins with: the modules that find the disk.
initrd() {
	local m modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk"
	version=$(ls "$work/root/usr/lib/modules")
	mkdir -p "$work/initrd/bin"
	cp /bin/busybox "$work/initrd/bin/"
	for m in $modules; do
		find "$work/root/usr/lib/modules/$version" -name "$m.ko" -exec cp {} "$work/initrd/" \;
	done
	cat >"$work/initrd/init" <<-I
		#!/bin/busybox sh
		for m in $modules; do
			/bin/busybox insmod /\$m.ko
		done
		/bin/busybox mkdir -p /dev /root
		/bin/busybox mount -t devtmpfs dev /dev
		while ! /bin/busybox mount -t ext4 /dev/vda /root; do /bin/busybox sleep 0.1; done
		exec /bin/busybox switch_root /root /sbin/init
	I
	chmod 755 "$work/initrd/init"
	(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"
}

# boot becomes an emulated machine. The disk stays as it is: what the machine writes is gone when it is
# switched off, and not when it reboots.
#
#	boot NAME "KERNEL OPTIONS" [EMULATOR OPTIONS...]
boot() {
	local name=$1 append=$2
	shift 2
	TMPDIR=$work exec timeout 2400 qemu-system-x86_64 -machine pc,accel=tcg -cpu max -display none -no-user-config \
		-kernel "$work/kernel/boot/vmlinuz-$version" -initrd "$work/initrd.gz" \
		-append "console=ttyS0 quiet systemd.show_status=no net.ifnames=0 systemd.hostname=$name $append" \
		-drive "file=$work/disk,format=raw,if=virtio,snapshot=on" -serial "file:$work/$name.console" "$@"
}
