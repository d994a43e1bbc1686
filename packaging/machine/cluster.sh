#!/usr/bin/env bash
# Three emulated machines become a cluster as docs/joining.md has a new user do it: the package is
# installed on each, "nomadish init" is run on the first, and what that prints on the other two: a server and a
# client node. Then a job runs on both client nodes, and services are reloaded.
# Run by run.sh, in a network namespace of its own.
set -euo pipefail
work=$1
. "$(dirname "$0")/machine.sh"
version=$(ls "$work/root/usr/lib/modules")
ip link set lo up
declare -A pid out addr=([first]=10.77.0.1 [server]=10.77.0.2 [client]=10.77.0.3)
trap 'kill "${pid[@]}" 2>/dev/null; wait' EXIT

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
fail() {
	say "FAILED: $*"
	for name in "${!addr[@]}"; do
		echo "--- $name" >&2
		on "$name" "nomadish server members; nomadish node status; journalctl -u nomadish --no-pager | tail -40" >&2 || true
	done
	exit 1
}
# answer reads what a machine says, up to a line that a command has ended with.
answer() {
	local line
	while IFS= read -r -t 300 line <&"${out[$1]}"; do
		line=${line%$'\r'}
		case $line in
		"shell: up") [[ $2 != up ]] || return 0 ;;
		"shell: "*) return "${line#shell: }" ;;
		*) [[ $2 == up ]] || printf '%s\n' "$line" ;;
		esac
	done
	return 124
}
# ask has a machine run a command, on waits for its end.
ask() { { base64 -w0 <<<"$2" && echo; } >"$work/$1.in"; }
on() { ask "$1" "$2" && answer "$1" command; }
must() { on "$1" "$2" >"$work/said" || { cat "$work/said" >&2; fail "$1: $2"; }; }
# until_ok waits up to a number of seconds until a command on a machine succeeds.
until_ok() {
	local end=$((SECONDS + $1))
	while ! on "$2" "$3" >"$work/said"; do
		((SECONDS < end)) || { cat "$work/said" >&2; fail "$2: $3"; }
	done
}
# took says how long something took since a number of seconds.
took() { say "$1: $((SECONDS - $2)) s"; }
main() { on "$1" "systemctl show -P MainPID nomadish" | tr -d '\n'; }
web() { on "$1" "pgrep -x web || true" | tr -d '\n'; }
answers() { until_ok 120 "$1" "exec 3<>/dev/tcp/$2/8080 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && grep -q '200 OK' <&3"; }

# well waits until everything is as it is to be: two servers that vote, two client nodes that are ready, and
# the job on both.
well() {
	until_ok 180 first "[[ \$(nomadish operator raft list-peers -t '{{range .Servers}}{{.Voter}} {{end}}') == 'true true ' ]]"
	until_ok 180 first "[[ \$(nomadish node status -t '{{range .}}{{.Name}} {{.Status}}{{\"\\n\"}}{{end}}' | sort | tr '\\n' ' ') == 'client ready first ready ' ]]"
	[[ ${1:-} != jobs ]] || {
		until_ok 180 first "[[ \$(nomadish job status -t '{{range .Allocations}}{{.ClientStatus}} {{end}}' everywhere | grep -ow running | wc -l) == 2 ]]"
		answers first 10.77.0.3
		answers server 10.77.0.1
	}
}

say "three machines boot (emulated: minutes)"
n=0
for name in "${!addr[@]}"; do
	n=$((n + 1))
	rm -f "$work/$name".{in,out}
	mkfifo "$work/$name".{in,out}
	exec {fd}<>"$work/$name.out"
	out[$name]=$fd
	(boot "$name" "guest=shell ip=${addr[$name]}:::255.255.255.0::eth0:off systemd.wants=systemd-networkd.service systemd.wants=systemd-network-generator.service systemd.wants=systemd-networkd-wait-online.service" \
		-m 1536 -smp 1 -nic "socket,model=virtio-net-pci,mac=52:54:00:00:00:0$n,mcast=230.0.0.1:7700,localaddr=127.0.0.1" \
		-chardev "pipe,id=shell,path=$work/$name" -serial chardev:shell) &
	pid[$name]=$!
done
for name in "${!addr[@]}"; do
	answer "$name" up || fail "$name does not boot"
done
say "three machines are up"
for name in server client; do
	until_ok 60 first "{ exec 3<>/dev/tcp/${addr[$name]}/9; } 2>&1 | grep -q refused" # there, and nothing listens
done
for name in "${!addr[@]}"; do
	ask "$name" "dpkg -i /opt/nomadish.deb && systemctl is-active nomadish"
done
for name in "${!addr[@]}"; do
	answer "$name" command >"$work/said" || { cat "$work/said" >&2; fail "$name: the package does not install"; }
done
say "the package is installed on each, and its service runs"

began=$SECONDS
must first "nomadish init"
cp "$work/said" "$work/init"
took "nomadish init" $began
sed 's/\(nomadish-join-[a-z]*-\)[^ ]*/\1…/; s/^/       | /' "$work/init"
mapfile -t join < <(grep -o 'nomadish join nomadish-join-.*' "$work/init")
[[ ${#join[@]} == 2 && ${join[0]} == *join-client-* && ${join[1]} == *join-server-* ]] || fail "init prints other commands than expected"
must first "[[ \$(systemctl is-enabled nomadish) == enabled && \$(systemctl is-active nomadish) == active ]]"
must first "[[ \$(stat -c %a /root/.config/nomadish/contexts.json) == 600 ]] && nomadish node status"
must first "! NOMAD_ADDR=https://127.0.0.1:4646 NOMAD_CACERT=/var/lib/nomadish/tls/authorities.pem NOMAD_TLS_SERVER_NAME=localhost nomadish node status"
must first "nomadish init | grep -q 'runs already'"
say "the service is enabled and runs, its context works, nobody else's requests do; init again does no harm"

# Emulated machines are slow and stall: the servers are patient, and none is said to be gone too early.
slow="echo 'server { raft_multiplier = 10 }' >/etc/nomadish.d/slow.hcl"
images="echo 'plugin \"docker\" { config { image_archives = [\"/opt\"] } }' >/etc/nomadish.d/plugins.hcl"
must first "$slow && $images && systemctl restart nomadish"

must server "! nomadish join nomadish-join-server-aaaa 10.77.0.1 && systemctl is-active nomadish"
began=$SECONDS
must server "${join[1]}"
sed 's/^/       | /' "$work/said"
took "nomadish join, a server" $began
began=$SECONDS
must client "${join[0]}"
took "nomadish join, a client node" $began
must client "! ${join[1]}"
must server "$slow && systemctl restart nomadish"
must client "$images && systemctl restart nomadish"
well
say "two servers vote, two client nodes are ready"

must first "nomadish job run /opt/cluster.nomad.hcl"
well jobs
tasks="$(web first) $(web client)"
say "the job runs on both nodes, and each machine reaches it on the other: processes $tasks"

for name in "${!addr[@]}"; do
	before=$(main "$name")
	must "$name" "echo 'log_level = \"debug\"' >/etc/nomadish.d/log.hcl && systemctl reload nomadish"
	until_ok 30 "$name" "journalctl -u nomadish --no-pager | grep 'configuration reloaded.*log_level=debug'"
	[[ $(main "$name") == "$before" ]] || fail "$name: a reload started the agent again"
done
well jobs
must first "nomadish init | grep -q 'runs already'"
[[ "$(web first) $(web client)" == "$tasks" ]] || fail "a reload changed the tasks: $tasks, now $(web first) $(web client)"
say "services were reloaded, tasks and agents are the same"

for name in "${!addr[@]}"; do
	on "$name" "poweroff -f" >/dev/null &
done
wait "${pid[@]}" || true
say "passed"
