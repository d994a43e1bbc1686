#!/usr/bin/env bash
# Starts an agent in the background, builds the example's image and runs the example job in a
# container; `run.sh stop` ends it all. What it makes lies in bin/run.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$PWD/bin/run
pidfile=$dir/agent.pid
nomadish=$PWD/bin/nomadish

running() { [[ -f $pidfile ]] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }

if [[ ${1:-} == stop ]]; then
	if running; then
		pid=$(cat "$pidfile")
		kill -INT "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
		echo "stopped"
	else
		echo "nothing is running"
	fi
	rm -f "$pidfile"
	exit
fi

if [[ $(id -u) != 0 ]]; then
	echo "containers need root: run this as root, or with sudo" >&2
	exit 1
fi

mkdir -p "$dir"
echo "==> building the image of the example"
CGO_ENABLED=0 go build -o "$dir/web" ./examples/web
go run ./examples/image -name nomadish.dev/hello:1 -out "$dir/hello.tar" "$dir/web"

if ! running; then
	echo "==> starting an agent; its log is $dir/agent.log"
	cat >"$dir/agent.hcl" <<-EOF
		bind_addr = "127.0.0.1"
		plugin "docker" {
		  config {
		    image_archives = ["$dir"]
		  }
		}
	EOF
	setsid "$nomadish" agent -dev -config "$dir/agent.hcl" >"$dir/agent.log" 2>&1 </dev/null &
	echo $! >"$pidfile"
fi
# The agent's own word that it listens comes first: another's may answer at the same address.
for _ in $(seq 100); do
	running || { echo "the agent ended:" >&2; tail "$dir/agent.log" >&2; exit 1; }
	grep -q '^==> nomadish' "$dir/agent.log" &&
		[[ $("$nomadish" node status -t '{{range .}}{{.Status}}{{end}}' 2>/dev/null) == ready ]] && break
	sleep 0.1
done

echo "==> running examples/hello.nomad.hcl"
"$nomadish" job run -var "archive=$dir/hello.tar" examples/hello.nomad.hcl
alloc=$("$nomadish" job status -t '{{range .Allocations}}{{if eq .ClientStatus "running"}}{{.ID}}{{end}}{{end}}' hello)
address=$("$nomadish" alloc status -t '{{range .AllocatedResources.Shared.Ports}}{{.HostIP}} {{.Value}}{{end}}' "$alloc")
read -r host port <<<"$address"
for _ in $(seq 50); do
	exec 3<>"/dev/tcp/$host/$port" && break
	sleep 0.1
done 2>/dev/null
printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&3
answer=$(cat <&3)
exec 3>&-
[[ $answer == HTTP/1.?\ 200* ]] || { echo "the web server is not healthy: $answer" >&2; exit 1; }
echo "==> healthy: http://$host:$port/ answers \"$(tail -n 1 <<<"$answer")\""
echo
echo "    API          http://127.0.0.1:4646"
echo "    look at it   bin/nomadish job status hello; bin/nomadish alloc logs -job hello"
echo "    stop it all  make stop"
