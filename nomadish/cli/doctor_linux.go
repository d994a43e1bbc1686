package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// machineFindings checks what a client node needs. reached says that the agent answers, so that
// its ports may be taken.
func machineFindings(ctx context.Context, dir string, reached bool) []finding {
	m := machine{root: os.DirFS("/"), uid: os.Geteuid()}
	all := []finding{
		m.privilege().of("user"),
		m.cgroups().of("control groups"),
		m.module("overlay", "containers are unpacked in layers").of("overlayfs"),
		m.module("veth", "networks of groups and containers").of("veth"),
		m.module("nf_tables", "port mapping").of("nftables"),
		m.seccomp().of("seccomp"),
		m.userNamespaces().of("user namespaces"),
		m.inotify().of("inotify"),
		m.forwarding().of("forwarding"),
		m.resolver().of("name servers"),
		openFiles().of("open files"),
		clock().of("clock"),
		diskSpace(dir).of("disk"),
		firewall().of("firewall"),
	}
	if !reached {
		all = append(all, ports(ctx)...)
	}
	return all
}

// machine is what the checks read; tests give their own files.
type machine struct {
	root fs.FS
	uid  int
}

// text reads a small file of the system; what can't be read is empty.
func (m machine) text(path string) string {
	b, err := fs.ReadFile(m.root, strings.TrimPrefix(path, "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (m machine) number(path string) int64 {
	n, err := strconv.ParseInt(m.text(path), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (m machine) there(path string) bool {
	_, err := fs.Stat(m.root, strings.TrimPrefix(path, "/"))
	return err == nil
}

func (m machine) privilege() finding {
	if m.uid != 0 {
		return warning("Run the agent of a client node as root (its systemd unit does), and doctor with sudo.", "not root: some checks see less, and an agent can't run containers")
	}
	return ok("root")
}

func (m machine) cgroups() finding {
	needed := []string{"cpu", "cpuset", "memory", "pids"}
	if controllers := strings.Fields(m.text("/sys/fs/cgroup/cgroup.controllers")); len(controllers) > 0 {
		missing := slices.DeleteFunc(needed, func(c string) bool { return slices.Contains(controllers, c) })
		if len(missing) > 0 {
			return failing("Switch them on in the kernel (cgroup_enable=memory on its command line) or in what contains this machine.", "version 2 without %s", strings.Join(missing, ", "))
		}
		return ok("version 2: %s", strings.Join(controllers, " "))
	}
	var missing []string
	for _, c := range needed {
		if !m.there("/sys/fs/cgroup/" + c) {
			missing = append(missing, c)
		}
	}
	if len(missing) == len(needed) {
		return failing("Mount them: mount -t cgroup2 none /sys/fs/cgroup.", "none are mounted at /sys/fs/cgroup")
	}
	if len(missing) > 0 {
		return failing("Mount the missing ones, or boot with version 2 (systemd.unified_cgroup_hierarchy=1).", "version 1 without %s", strings.Join(missing, ", "))
	}
	return ok("version 1")
}

// module looks for a part of the kernel: loaded, built in, or there to be loaded.
func (m machine) module(name, use string) finding {
	if m.there("/sys/module/"+name) || name == "overlay" && strings.Contains(m.text("/proc/filesystems"), "\toverlay") {
		return ok("in the kernel")
	}
	release := m.text("/proc/sys/kernel/osrelease")
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		if strings.Contains(m.text("/lib/modules/"+release+"/"+list), "/"+name+".ko") {
			return ok("the kernel has it (%s)", list)
		}
	}
	symbols := map[string]string{"overlay": " ovl_", "veth": " veth_", "nf_tables": " nf_tables_"}[name]
	if symbols != "" && strings.Contains(m.text("/proc/kallsyms"), symbols) {
		return ok("built into the kernel")
	}
	return warning("If tasks fail for want of it: modprobe "+name+", or install the modules of the kernel that runs.", "can't be found in kernel %s, for %s", release, use)
}

func (m machine) seccomp() finding {
	if !strings.Contains(m.text("/proc/sys/kernel/seccomp/actions_avail"), "errno") {
		return failing("Use a kernel with CONFIG_SECCOMP_FILTER: containers are confined with it.", "the kernel does not filter system calls")
	}
	return ok("system calls can be filtered")
}

func (m machine) userNamespaces() finding {
	switch n := m.number("/proc/sys/user/max_user_namespaces"); {
	case n < 0:
		return warning("Tasks with user namespaces can't run here.", "the kernel has none")
	case n == 0:
		return warning("For tasks with user namespaces: sysctl -w user.max_user_namespaces=15000.", "switched off")
	}
	return ok("allowed")
}

// Fewer than these run out with a few dozen tasks.
const (
	leastInstances = 128
	leastWatches   = 8192
	leastOpenFiles = 8192
	leastDisk      = 1 << 30
)

func (m machine) inotify() finding {
	instances, watches := m.number("/proc/sys/fs/inotify/max_user_instances"), m.number("/proc/sys/fs/inotify/max_user_watches")
	if instances < leastInstances || watches < leastWatches {
		return warning("sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=262144.", "%d instances, %d watches", instances, watches)
	}
	return ok("%d instances, %d watches", instances, watches)
}

func (m machine) forwarding() finding {
	if m.number("/proc/sys/net/ipv4/ip_forward") != 1 {
		return warning("The agent switches it on when the first network is made; something that switches it off again would cut off tasks.", "net.ipv4.ip_forward is 0")
	}
	return ok("net.ipv4.ip_forward is 1")
}

func (m machine) resolver() finding {
	var servers []string
	for line := range strings.Lines(m.text("/etc/resolv.conf") + "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			servers = append(servers, f[1])
		}
	}
	if len(servers) == 0 {
		return warning("Name them in /etc/resolv.conf: registries can't be found otherwise.", "/etc/resolv.conf names none")
	}
	if !slices.ContainsFunc(servers, func(s string) bool { ip := net.ParseIP(s); return ip == nil || !ip.IsLoopback() }) && !m.there("/run/systemd/resolve/resolv.conf") {
		return warning("Name servers that tasks can reach in the dns block of their groups' networks.", "only on this machine's loopback, which networks of tasks do not reach: %s", strings.Join(servers, ", "))
	}
	return ok("%s", strings.Join(servers, ", "))
}

func openFiles() finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return warning("", "the limit can't be read: %v", err)
	}
	if limit.Max < leastOpenFiles {
		return warning("Raise it: LimitNOFILE in the agent's unit, or ulimit -n.", "at most %d", limit.Max)
	}
	return ok("up to %d", limit.Max)
}

func clock() finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return warning("", "its state can't be read: %v", err)
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return warning("Run chrony or systemd-timesyncd: tokens and certificates depend on the time.", "the kernel says that nothing keeps it right")
	}
	return ok("kept right")
}

func diskSpace(dir string) finding {
	if dir == "" {
		dir = "/var/lib/nomadish"
		if _, err := os.Stat(dir); err != nil {
			dir = "/"
		}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return failing("Make the directory, or name another one with -data-dir.", "%s: %v", dir, err)
	}
	free, total := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	switch {
	case free < leastDisk:
		return failing("Free some: \"nomadish system gc\", or remove images that are not needed.", "%s: %s free", dir, size(free))
	case free < total/10:
		return warning("Free some before it is full.", "%s: %s of %s free", dir, size(free), size(total))
	}
	return ok("%s: %s of %s free", dir, size(free), size(total))
}

// firewall looks for rules of others that drop what is passed on to tasks.
func firewall() finding {
	conn, err := nftables.New()
	var chains []*nftables.Chain
	if err == nil {
		chains, err = conn.ListChains()
	}
	if errors.Is(err, unix.EPERM) {
		return warning("Run doctor as root to see.", "rules can't be read")
	}
	if err != nil {
		return failing("Use a kernel with nf_tables: groups' networks and ports need it.", "nftables does not answer: %v", err)
	}
	var dropping []string
	for _, ch := range chains {
		forwards := ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward
		if forwards && ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop && !strings.HasPrefix(ch.Table.Name, "nomadish") {
			dropping = append(dropping, fmt.Sprintf("%s/%s", ch.Table.Name, ch.Name))
		}
	}
	if len(dropping) > 0 {
		return warning("Let the addresses of tasks pass there, such as: iptables -I FORWARD -s 172.26.64.0/20 -j ACCEPT, and the same with -d. Docker's is DOCKER-USER.",
			"forwarded packets are dropped unless allowed, by %s", strings.Join(dropping, ", "))
	}
	return ok("no other rules drop what is forwarded")
}

// ports says whether an agent could take its ports.
func ports(ctx context.Context) (all []finding) {
	for _, p := range []struct{ port, use string }{{"4646", "HTTP"}, {"4647", "internal"}, {"4648", "gossip"}} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+p.port)
		if err != nil {
			all = append(all, failing("See who has it: ss -ltnp sport = :"+p.port+"; or give the agent another one in its ports block.", "is taken: %v", err).of("port "+p.port+" ("+p.use+")"))
			continue
		}
		_ = l.Close()
		all = append(all, ok("free").of("port "+p.port+" ("+p.use+")"))
	}
	return all
}
