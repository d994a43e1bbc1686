package cli

import (
	"testing"
	"testing/fstest"
)

// TestMachine: each check tells good from bad by what the kernel shows.
func TestMachine(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, tt := range []struct {
		name  string
		files fstest.MapFS
		check func(machine) finding
		want  string
	}{
		{"control groups, version 2", fstest.MapFS{"sys/fs/cgroup/cgroup.controllers": file("cpuset cpu io memory pids\n")}, machine.cgroups, findingOK},
		{"control groups without memory", fstest.MapFS{"sys/fs/cgroup/cgroup.controllers": file("cpuset cpu io pids\n")}, machine.cgroups, findingFailure},
		{"control groups, version 1", fstest.MapFS{"sys/fs/cgroup/cpu/x": file(""), "sys/fs/cgroup/cpuset/x": file(""), "sys/fs/cgroup/memory/x": file(""), "sys/fs/cgroup/pids/x": file("")}, machine.cgroups, findingOK},
		{"control groups, version 1 in part", fstest.MapFS{"sys/fs/cgroup/cpu/x": file("")}, machine.cgroups, findingFailure},
		{"no control groups", fstest.MapFS{}, machine.cgroups, findingFailure},
		{"module loaded", fstest.MapFS{"sys/module/veth/x": file("")}, func(m machine) finding { return m.module("veth", "") }, findingOK},
		{"module to load", fstest.MapFS{"proc/sys/kernel/osrelease": file("6.1\n"), "lib/modules/6.1/modules.dep": file("kernel/net/veth.ko.xz:\n")}, func(m machine) finding { return m.module("veth", "") }, findingOK},
		{"module built in", fstest.MapFS{"proc/kallsyms": file("0 t veth_setup\n")}, func(m machine) finding { return m.module("veth", "") }, findingOK},
		{"no module", fstest.MapFS{"proc/sys/kernel/osrelease": file("6.1\n")}, func(m machine) finding { return m.module("veth", "") }, findingWarning},
		{"seccomp", fstest.MapFS{"proc/sys/kernel/seccomp/actions_avail": file("kill_process errno allow")}, machine.seccomp, findingOK},
		{"no seccomp", fstest.MapFS{}, machine.seccomp, findingFailure},
		{"user namespaces", fstest.MapFS{"proc/sys/user/max_user_namespaces": file("1000")}, machine.userNamespaces, findingOK},
		{"user namespaces off", fstest.MapFS{"proc/sys/user/max_user_namespaces": file("0")}, machine.userNamespaces, findingWarning},
		{"inotify", fstest.MapFS{"proc/sys/fs/inotify/max_user_instances": file("128"), "proc/sys/fs/inotify/max_user_watches": file("65536")}, machine.inotify, findingOK},
		{"little inotify", fstest.MapFS{"proc/sys/fs/inotify/max_user_instances": file("16"), "proc/sys/fs/inotify/max_user_watches": file("65536")}, machine.inotify, findingWarning},
		{"name servers", fstest.MapFS{"etc/resolv.conf": file("nameserver 9.9.9.9\n")}, machine.resolver, findingOK},
		{"loopback name server", fstest.MapFS{"etc/resolv.conf": file("nameserver 127.0.0.1\n")}, machine.resolver, findingWarning},
		{"systemd-resolved", fstest.MapFS{"etc/resolv.conf": file("nameserver 127.0.0.53\n"), "run/systemd/resolve/resolv.conf": file("nameserver 9.9.9.9\n")}, machine.resolver, findingOK},
		{"no name server", fstest.MapFS{}, machine.resolver, findingWarning},
		{"forwarding", fstest.MapFS{"proc/sys/net/ipv4/ip_forward": file("1\n")}, machine.forwarding, findingOK},
		{"no forwarding", fstest.MapFS{"proc/sys/net/ipv4/ip_forward": file("0\n")}, machine.forwarding, findingWarning},
	} {
		if got := tt.check(machine{root: tt.files}); got.Status != tt.want || got.Detail == "" || got.Status != findingOK && got.Next == "" {
			t.Errorf("%s: got %+v, want %s, in words, with what to do", tt.name, got, tt.want)
		}
	}
}
