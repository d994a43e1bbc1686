#!/bin/bash
# Runs inside the machine, once per boot. First boot: the package is installed, starts by itself,
# runs a container and a process, and neither a reload or restart of the service, nor its stop and
# start, nor an upgrade of the package touches their processes. Second boot: both run again.
# What it says goes to the second serial port: a file of the machine that emulates this one.
exec >/dev/ttyS1 2>&1
say() { echo "guest: $*"; }
fail() {
	say "FAILED: $*"
	journalctl -u nomadish --no-pager | tail -40
	tail -20 /var/lib/nomadish/runtime/containerd.log
	poweroff -f
	exit 1
}
# until waits up to a number of seconds for a command to succeed.
until_ok() {
	local seconds=$1
	shift
	for ((i = 0; i < seconds * 4; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.25
	done
	return 1
}
ready() { [[ $(nomadish node status -t '{{range .}}{{.Status}}{{end}}') == ready ]]; }
running() { nomadish job status -t '{{range .Allocations}}{{.ClientStatus}} {{end}}' "$1" | grep -qw running; }
# pids prints the processes of both tasks.
pids() { echo "$(pgrep -x web | sort | tr '\n' ' ')/ $(pgrep -f '/bin/sleep 1000000' | sort | tr '\n' ' ')"; }
reloaded() { journalctl -u nomadish --no-pager | grep 'configuration reloaded.*log_level=debug'; }
gone() { [[ -z $(pgrep -x web)$(pgrep -f '/bin/sleep 1000000') ]]; }
# apart fails when something that has to outlive the service is in its control group.
apart() {
	local pid
	for pid in $(pgrep -x web) $(pgrep -f '/bin/sleep 1000000') $(pgrep -f 'containerd|supervise'); do
		grep -q nomadish.service "/proc/$pid/cgroup" && fail "process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline")) is in the service's control group"
	done
}
same() {
	ready_again=$1
	until_ok 90 ready || fail "$ready_again: the node does not get ready"
	until_ok 60 running container && until_ok 60 running process || fail "$ready_again: the jobs do not run"
	[[ $(pids) == "$before" ]] || fail "$ready_again: processes were $before and are $(pids)"
	say "$ready_again: the same processes run: $before"
}

stage=$(cat /opt/stage 2>/dev/null || echo first)
say "boot: $stage; $(uname -r); control groups: $(stat -fc %T /sys/fs/cgroup)"
if [[ $stage == first ]]; then
	dpkg -i /opt/nomadish.deb || fail "the package does not install"
	systemctl is-active nomadish || fail "the service does not start"
	cat >/etc/nomadish.d/plugins.hcl <<-C
		plugin "docker" {
		  config {
		    image_archives = ["/opt"]
		  }
		}
		plugin "raw_exec" {
		  config {
		    enabled = true
		  }
		}
	C
	systemctl restart nomadish || fail "the service does not restart"
	until_ok 90 ready || fail "the node does not get ready"
	say "installed $(nomadish version | head -1), node ready"
	nomadish job run /opt/container.nomad.hcl || fail "the container does not run"
	nomadish job run /opt/process.nomad.hcl || fail "the process does not run"
	before=$(pids)
	say "running: $before"
	apart
	main=$(systemctl show -P MainPID nomadish)
	echo 'log_level = "debug"' >/etc/nomadish.d/log.hcl
	systemctl reload nomadish || fail "reload"
	until_ok 30 reloaded || fail "the agent says nothing of a reload"
	[[ $(systemctl show -P MainPID nomadish) == "$main" ]] || fail "a reload started the agent again"
	same "after a reload"
	systemctl restart nomadish || fail "restart"
	same "after a restart"
	systemctl stop nomadish || fail "stop"
	[[ $(pids) == "$before" ]] || fail "after a stop processes were $before and are $(pids)"
	systemctl start nomadish || fail "start"
	same "after stop and start"
	systemctl kill -s KILL --kill-whom=main nomadish
	same "after a killed agent"
	dpkg -i /opt/nomadish.deb || fail "the package does not upgrade"
	same "after an upgrade"
	echo second >/opt/stage
	sync
	reboot -f
	exit
fi
until_ok 90 ready || fail "after the reboot the node does not get ready"
until_ok 120 running container && until_ok 120 running process || fail "after the reboot the jobs do not run"
both() { pgrep -x web && pgrep -f '/bin/sleep 1000000'; }
until_ok 60 both || fail "after the reboot the tasks are said to run, and do not: $(pids)"
say "after a reboot: $(pids) run"
nomadish job stop -purge container && nomadish job stop -purge process || fail "the jobs do not stop"
until_ok 60 gone || fail "processes stay: $(pids)"
say "passed"
poweroff -f
