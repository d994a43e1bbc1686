#!/usr/bin/env bash
# Tests in a real browser what pages can do with an agent. Installs Chromium where it is
# missing: on Debian, as root.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v chromium >/dev/null; then
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		echo "chromium is missing, and only root on a Debian machine can have it installed here" >&2
		exit 1
	fi
	echo "==> installing chromium"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -qy --no-install-recommends chromium >/dev/null 2>&1 || {
		apt-get update -q >/dev/null
		apt-get install -qy --no-install-recommends chromium >/dev/null
	}
fi
exec go test -tags browser -count=1 -timeout 5m -v ./e2e/browser
