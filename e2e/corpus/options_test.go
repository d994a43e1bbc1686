//go:build linux && corpus

package corpus

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/nomadish"
)

// seen is for options whose effect is in what is seen of every task.
func seen(context.Context, *sight, any) error { return nil }

// options tells for each option of a driver how its effect is seen.
var options = map[string]func(ctx context.Context, s *sight, value any) error{
	"args": seen, "command": seen, "entrypoint": seen, // the command line
	"image": seen, "cwd": seen, "work_dir": seen, "network_mode": seen, // what is seen of every container
	"ports": seen, "port_map": seen, // the answers
	"cap_add":         func(_ context.Context, s *sight, v any) error { return s.capabilities(list(v), true) },
	"cap_drop":        func(_ context.Context, s *sight, v any) error { return s.capabilities(list(v), false) },
	"devices":         func(_ context.Context, s *sight, v any) error { return s.devices(list(v)) },
	"hostname":        hostname,
	"mounts":          func(_ context.Context, s *sight, v any) error { return s.mounted(v) },
	"privileged":      privileged,
	"readonly_rootfs": readonly,
	"seccomp":         seccomp,
	"volumes":         func(_ context.Context, s *sight, v any) error { return s.bound(list(v)) },
}

// bits are the numbers of capabilities that jobs add and drop.
var bits = map[string]uint{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "IPC_LOCK": unix.CAP_IPC_LOCK,
	"IPC_OWNER": unix.CAP_IPC_OWNER, "NET_ADMIN": unix.CAP_NET_ADMIN, "NET_BROADCAST": unix.CAP_NET_BROADCAST,
	"NET_RAW": unix.CAP_NET_RAW, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_CHROOT": unix.CAP_SYS_CHROOT, "SYS_NICE": unix.CAP_SYS_NICE,
}

func (s *sight) capabilities(names []string, want bool) error {
	have, err := strconv.ParseUint(s.status["CapEff"], 16, 64)
	for _, name := range names {
		bit, ok := bits[strings.TrimPrefix(name, "CAP_")]
		if !ok {
			return fmt.Errorf("%s: no number known", name)
		}
		if got := have&(1<<bit) != 0; got != want {
			return fmt.Errorf("%s: the task has it %t, want %t", name, got, want)
		}
	}
	return err
}

// devices sees that devices of the host are in the task, by their numbers.
func (s *sight) devices(paths []string) error {
	for _, path := range paths {
		var outside, inside unix.Stat_t
		if err := unix.Stat(path, &outside); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := unix.Stat(filepath.Join(s.proc, "root", path), &inside); err != nil || inside.Rdev != outside.Rdev {
			return fmt.Errorf("%s: device %d, want %d, %w", path, inside.Rdev, outside.Rdev, err)
		}
	}
	return nil
}

// hostname asks within the task.
func hostname(ctx context.Context, s *sight, want any) error {
	var out bytes.Buffer
	code, err := s.node.API.Allocations().Exec(ctx, s.alloc.ID, &nomadish.ExecRequest{
		Task: s.task.Name, Command: []string{"hostname"}, Stdout: &out, Stderr: &out,
	})
	if got := strings.TrimSpace(out.String()); err == nil && (code != 0 || got != want) {
		err = fmt.Errorf("got %q and code %d", got, code)
	}
	return err
}

// privileged sees that the task has all capabilities that there are.
func privileged(_ context.Context, s *sight, want any) error {
	all, err := os.ReadFile("/proc/1/status")
	if has := strings.Contains(string(all), "CapBnd:\t"+s.status["CapBnd"]); err == nil && has != want {
		err = fmt.Errorf("capabilities %s", s.status["CapBnd"])
	}
	return err
}

func readonly(_ context.Context, s *sight, want any) error {
	if got := s.readOnly("/"); got != want {
		return fmt.Errorf("got %t", got)
	}
	return nil
}

func (s *sight) readOnly(path string) bool {
	return slices.Contains(strings.Split(s.mounts[path], ","), "ro")
}

func seccomp(_ context.Context, s *sight, want any) error {
	if got := s.status["Seccomp"] == "2"; got != want {
		return fmt.Errorf("mode %s", s.status["Seccomp"])
	}
	return nil
}

// mounted checks an option that is a list of blocks of mounts.
func (s *sight) mounted(option any) error {
	blocks, _ := option.([]any)
	for _, b := range blocks {
		m, ok := b.(map[string]any)
		if !ok || m["type"] != "bind" {
			return fmt.Errorf("a mount that this test does not know how to see: %v", b)
		}
		ro := m["readonly"] == true || slices.Contains(list(m["options"]), "ro")
		if err := s.bind(fmt.Sprint(m["source"]), fmt.Sprint(m["target"]), ro); err != nil {
			return err
		}
	}
	return nil
}

// bound checks an option that is a list of SOURCE:TARGET:MODE.
func (s *sight) bound(volumes []string) error {
	for _, v := range volumes {
		part := strings.Split(v+":", ":")
		if err := s.bind(part[0], part[1], part[2] == "ro"); err != nil {
			return err
		}
	}
	return nil
}

// bind sees that a path of the host, or of the task's directory, is at another in the task.
func (s *sight) bind(source, target string, ro bool) error {
	source, target = filepath.Clean(s.fill(source)), filepath.Clean(s.fill(target))
	if !filepath.IsAbs(source) {
		source = s.node.AllocFile(s.alloc.ID, filepath.Join(s.task.Name, source))
	}
	if err := s.same(source, target); err != nil {
		return err
	}
	if got := s.readOnly(target); got != ro {
		return fmt.Errorf("%s: read-only %t, want %t", target, got, ro)
	}
	return nil
}
