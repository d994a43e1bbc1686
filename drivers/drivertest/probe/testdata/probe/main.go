// Command probe tries, from inside a task, what a task should not be able to do, and prints a
// line for each attempt: its name and what came of it. It ignores its arguments, so that it can
// stand in for any program that a driver starts.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && strings.HasSuffix(os.Args[1], "-version") { // asked what it is by a driver
		fmt.Println("probe version 1.0, version \"1.0\"\nprobe\nprobe")
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "nothing" {
		return
	}
	for _, p := range slices.Concat(identity(), surroundings(), files(), namespaces(), networks(), kernel(), limits()) {
		fmt.Printf("%s: %s\n", p.name, p.result())
	}
}

// probe is one attempt.
type probe struct {
	name   string
	result func() string
}

// may is a probe of something that the kernel permits or not.
func may(name string, try func() error) probe {
	return probe{name, func() string { return permitted(try()) }}
}

// permitted says whether the kernel let the attempt through: an error that is not about
// permission comes after the check of it.
func permitted(err error) string {
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EROFS, unix.ENOENT, unix.ENXIO, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT} {
		if errors.Is(err, no) {
			return "no"
		}
	}
	return "yes"
}

// call makes a system call that may do harm only where it is permitted.
func call(name string, number uintptr, args ...uintptr) probe {
	return may(name, func() error {
		var a [6]uintptr
		copy(a[:], args)
		r, _, e := syscall.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != 0 {
			return e
		}
		if number == unix.SYS_IO_URING_SETUP || number == unix.SYS_BPF || number == unix.SYS_PERF_EVENT_OPEN {
			return unix.Close(int(r))
		}
		return nil
	})
}

// open opens a file.
func open(name, path string, flags int) probe {
	return may(name, func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
}

// readable says whether a file is there and says anything.
func readable(name, path string) probe {
	return probe{name, func() string {
		f, err := os.Open(path)
		if err != nil {
			return "no"
		}
		defer f.Close()
		if n, err := f.Read(make([]byte, 16)); n > 0 && err == nil {
			return "yes"
		}
		if names, err := f.Readdirnames(1); err == nil && len(names) > 0 {
			return "yes"
		}
		return "no"
	}}
}

func text(path string) *byte {
	p, _ := unix.BytePtrFromString(path)
	return p
}

func address(path string) uintptr { return uintptr(unsafe.Pointer(text(path))) }

// identity is who the task is.
func identity() []probe {
	status := func(field string) probe {
		return probe{field, func() string {
			b, _ := os.ReadFile("/proc/self/status")
			for line := range strings.Lines(string(b)) {
				if v, ok := strings.CutPrefix(line, field+":"); ok {
					return strings.Join(strings.Fields(v), " ")
				}
			}
			return "?"
		}}
	}
	var out []probe
	for _, f := range []string{"Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd", "NoNewPrivs", "Seccomp", "Pid"} {
		out = append(out, status(f))
	}
	return append(out, may("become root", func() error { return unix.Setresuid(0, 0, 0) }),
		may("raise capabilities", func() error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0)}, {Effective: 0x1ff, Permitted: 0x1ff}}
			return unix.Capset(&h, &all[0])
		}))
}

// surroundings are what the task sees of others.
func surroundings() []probe {
	return []probe{
		{"other processes", func() string {
			pids, _ := filepath.Glob("/proc/[0-9]*")
			return fmt.Sprint(len(pids) - 1)
		}},
		{"sockets on disk", func() string {
			var found []string
			_ = filepath.WalkDir("/", func(path string, e fs.DirEntry, err error) error {
				if path == "/proc" || path == "/sys" || path == "/usr" || err != nil {
					return fs.SkipDir
				}
				if e.Type() == fs.ModeSocket {
					found = append(found, path)
				}
				return nil
			})
			return list(found)
		}},
		{"abstract sockets of shims", func() string {
			b, _ := os.ReadFile("/proc/net/unix")
			return fmt.Sprint(strings.Count(string(b), "@/containerd-shim"))
		}},
		{"inherited files", func() string {
			var found []string
			for fd := 3; fd < 64; fd++ {
				if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.Contains(to, "/cpu.") { // Go reads its own limit
					found = append(found, to)
				}
			}
			return list(found)
		}},
		{"host's files through the working directory", func() string {
			_, err := os.Stat("../../../../../../../root")
			return permitted(err)
		}},
		{"devices", func() string {
			entries, _ := os.ReadDir("/dev")
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return list(names)
		}},
	}
}

func list(found []string) string {
	if len(found) == 0 {
		return "none"
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// files are those that tell or change something of the host.
func files() []probe {
	return []probe{
		open("write /proc/sys", "/proc/sys/kernel/hostname", unix.O_WRONLY),
		open("change the core pattern", "/proc/sys/kernel/core_pattern", unix.O_WRONLY),
		open("trigger sysrq", "/proc/sysrq-trigger", unix.O_WRONLY),
		open("write /sys", "/sys/kernel/mm/transparent_hugepage/enabled", unix.O_WRONLY),
		open("write uevent_helper", "/sys/kernel/uevent_helper", unix.O_WRONLY),
		may("make a control group", func() error {
			for _, dir := range []string{"/sys/fs/cgroup/memory/probe", "/sys/fs/cgroup/probe"} {
				err := unix.Mkdir(dir, 0o755)
				if _, real := os.Stat(dir + "/cgroup.procs"); err == nil && real == nil {
					return nil // not only a directory above the groups
				}
			}
			return unix.EPERM
		}),
		readable("read kernel memory", "/proc/kcore"),
		readable("read kernel keys", "/proc/keys"),
		readable("read timers", "/proc/timer_list"),
		readable("read firmware", "/sys/firmware"),
		readable("read /dev/kmsg", "/dev/kmsg"),
		readable("read /dev/mem", "/dev/mem"),
		readable("read the disk", "/dev/vda"),
		readable("read the shadow file", "/etc/shadow"),
		open("change a program", "/usr/bin/env", unix.O_WRONLY),
		open("change the accounts", "/etc/passwd", unix.O_WRONLY),
		may("make a device", func() error { return unix.Mknod("/tmp/probe-device", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) }),
		may("open a file by handle", func() error {
			_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
			return err
		}),
		may("spare itself when memory runs out", func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) }),
	}
}

// namespaces are ways out, or to more rights inside.
func namespaces() []probe {
	clone := func(name string, flags uintptr) probe {
		return may(name, func() error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			p, err := os.StartProcess(self, []string{self, "nothing"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
			if err != nil {
				return err
			}
			_, err = p.Wait()
			return err
		})
	}
	return []probe{
		clone("make a user namespace", unix.CLONE_NEWUSER),
		clone("make a mount namespace", unix.CLONE_NEWNS),
		clone("make a network namespace", unix.CLONE_NEWNET),
		may("unshare", func() error { return unix.Unshare(unix.CLONE_NEWUTS) }),
		may("enter a namespace", func() error {
			fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNS)
		}),
		may("mount", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }),
		may("bind", func() error { return unix.Mount("/proc", "/tmp", "", unix.MS_BIND, "") }),
		may("remount", func() error { return unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, "") }),
		may("unmount", func() error { return unix.Unmount("/proc/sys", unix.MNT_DETACH) }),
		may("change root", func() error { return unix.Chroot("/tmp") }),
		may("pivot root", func() error { return unix.PivotRoot("/tmp", "/tmp") }),
		may("change the host name", func() error { return unix.Sethostname([]byte("probe")) }),
		may("trace the first process", func() error {
			if os.Getpid() == 1 {
				return unix.EPERM // itself
			}
			return unix.PtraceSeize(1)
		}),
	}
}

// networks are ways to hear or pretend.
func networks() []probe {
	socket := func(name string, family, kind, protocol int) probe {
		return may(name, func() error {
			fd, err := unix.Socket(family, kind, protocol)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		})
	}
	return []probe{
		socket("raw socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
		socket("packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0x0300),
		socket("virtual machines' socket", unix.AF_VSOCK, unix.SOCK_STREAM, 0),
		may("low port", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrInet4{Port: 83, Addr: [4]byte{127, 0, 0, 1}})
		}),
		may("change an interface", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			ifr, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			ifr.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
			return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
		}),
	}
}
