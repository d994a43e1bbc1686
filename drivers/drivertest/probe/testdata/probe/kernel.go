package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel are calls that reach deep, or the whole machine.
func kernel() []probe {
	var zero [128]byte
	at := uintptr(unsafe.Pointer(&zero))
	return []probe{
		call("keyring", unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0), // -3: the session's
		call("add a key", unix.SYS_ADD_KEY, address("user"), address("probe"), at, 1, ^uintptr(2)),
		call("bpf", unix.SYS_BPF, unix.BPF_MAP_CREATE, at, 72),
		call("io_uring", unix.SYS_IO_URING_SETUP, 1, at),
		call("performance events", unix.SYS_PERF_EVENT_OPEN, at, 0, ^uintptr(0), ^uintptr(0), 0),
		call("userfaultfd", unix.SYS_USERFAULTFD, 0),
		call("fanotify", unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_CONTENT, 0),
		call("load a module", unix.SYS_INIT_MODULE, at, 0, at),
		call("load a module file", unix.SYS_FINIT_MODULE, ^uintptr(0), at, 0),
		call("unload a module", unix.SYS_DELETE_MODULE, address("no-such-module"), 0),
		call("load another kernel", unix.SYS_KEXEC_LOAD, 0, 99, at, 0),
		call("reboot", unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF, 0),
		call("swap", unix.SYS_SWAPON, address("/tmp"), 0),
		call("quotas", unix.SYS_QUOTACTL, uintptr(0x800002)<<8, address("/dev/null"), 0, at),
		call("process accounting", unix.SYS_ACCT, 0),
		call("read the kernel's log", unix.SYS_SYSLOG, 3, at, 1),
		may("set the time", func() error {
			var now unix.Timeval
			if err := unix.Gettimeofday(&now); err != nil {
				return err
			}
			return unix.Settimeofday(&now)
		}),
		may("adjust the clock", func() error {
			_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_TICK, Tick: 10000})
			return err
		}),
		call("new mount interface", unix.SYS_FSOPEN, address("tmpfs"), 0),
		may("read another's memory", func() error {
			if os.Getpid() == 1 {
				return unix.EPERM // there is no other
			}
			own, other := []unix.Iovec{{Base: &zero[0], Len: 1}}, []unix.RemoteIovec{{Base: at, Len: 1}}
			_, err := unix.ProcessVMReadv(1, own, other, 0)
			return err
		}),
	}
}

// limits are bounds that a task could raise.
func limits() []probe {
	return []probe{
		may("raise a limit", func() error {
			var l unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
				return err
			}
			l.Max++
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
		}),
		may("raise its priority", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -10) }),
		may("real-time scheduling", func() error {
			return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 1, Priority: 1}, 0)
		}),
	}
}
