#!/usr/bin/env bash
# Builds what a release consists of into dist/: for Linux on amd64 and arm64 the whole program,
# static, with the container runtime inside, as a file and as a Debian package; for macOS and
# Windows the command line; checksums and, per program, a list of what it is made of.
#
#	packaging/dist.sh [VERSION]
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
packaging/deps.sh dist

out=$PWD/dist
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
common="-s -w -X main.version=$version"

# seccomp prints the C flags with which an architecture finds libseccomp: the machine's own by
# pkg-config, another's from its Debian package, unpacked beside.
seccomp() {
	local arch=$1 triple=$2
	if [[ $arch == "$(dpkg --print-architecture)" ]]; then
		return
	fi
	local at=$work/apt-$arch options
	mkdir -p "$at/lists/partial" "$at/cache/archives/partial" "$at/root"
	chmod 755 "$work" "$at"
	options=(-o "Dir::State::lists=$at/lists" -o "Dir::Cache=$at/cache" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o APT::Sandbox::User=root)
	(cd "$at" && apt-get "${options[@]}" -q update && apt-get "${options[@]}" -q download libseccomp-dev) >"$at/log" 2>&1 ||
		{ cat "$at/log" >&2; return 1; }
	dpkg -x "$at"/libseccomp-dev_*.deb "$at/root"
	export CGO_CFLAGS="-I$at/root/usr/include" CGO_LDFLAGS="-L$at/root/usr/lib/$triple"
	export PKG_CONFIG_LIBDIR="$at/root/usr/lib/$triple/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$at/root"
}

# whole builds the program for Linux.
whole() (
	local arch=$1 cc=$2 triple=$3 file=$out/nomadish-$version-linux-$1
	echo "==> $file"
	seccomp "$arch" "$triple"
	CGO_ENABLED=1 GOOS=linux GOARCH=$arch CC=$cc go build -trimpath -tags netgo,osusergo,seccomp \
		-ldflags "$common -extldflags -static" -o "$file" ./nomadish/cmd/nomadish
)

# client builds the command line for a system without client nodes.
client() {
	local file=$out/nomadish-$version-$1-$2$3
	echo "==> $file"
	CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go build -trimpath -ldflags "$common" -o "$file" ./nomadish/cmd/nomadish
}

# deb makes the Debian package of an architecture.
deb() {
	local arch=$1 root=$work/deb-$1 number
	number=$(sed 's/^v//; s/[^A-Za-z0-9.+~]/+/g' <<<"$version")
	[[ $number == [0-9]* ]] || number=0~$number
	echo "==> $out/nomadish_${number}_$arch.deb"
	install -D -m 755 "$out/nomadish-$version-linux-$arch" "$root/usr/bin/nomadish"
	install -D -m 644 packaging/nomadish.service "$root/lib/systemd/system/nomadish.service"
	install -D -m 640 packaging/nomadish.hcl "$root/etc/nomadish.d/nomadish.hcl"
	install -D -m 644 LICENSE "$root/usr/share/doc/nomadish/copyright"
	mkdir -p "$root/DEBIAN"
	echo /etc/nomadish.d/nomadish.hcl >"$root/DEBIAN/conffiles"
	sed -e "s/@VERSION@/$number/; s/@ARCH@/$arch/; s/@SIZE@/$(du -sk "$root/usr" | cut -f1)/" \
		packaging/debian/control >"$root/DEBIAN/control"
	for script in postinst prerm postrm; do
		install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
	done
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	dpkg-deb --root-owner-group --build "$root" "$out/nomadish_${number}_$arch.deb" >/dev/null
}

whole amd64 "$([[ $(dpkg --print-architecture) == amd64 ]] && echo gcc || echo x86_64-linux-gnu-gcc)" x86_64-linux-gnu
whole arm64 "$([[ $(dpkg --print-architecture) == arm64 ]] && echo gcc || echo aarch64-linux-gnu-gcc)" aarch64-linux-gnu
client darwin amd64 ""
client darwin arm64 ""
client windows amd64 .exe
deb amd64
deb arm64
for file in "$out"/nomadish-*; do
	echo "==> $file.cdx.json"
	go -C tools run ./sbom -version "$version" "$file" >"$file.cdx.json"
done
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
