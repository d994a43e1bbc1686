//go:build linux

package docker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
)

// What a task can reach beyond itself is what the list says: as root, as images mostly are, and
// as a user with what a careful job takes away.
func TestProbes(t *testing.T) {
	if !shared.Seccomp {
		t.Skip("this build of runc has no seccomp")
	}
	program := filepath.Join(t.TempDir(), "probe")
	if err := probe.Build(program); err != nil {
		t.Fatal(err)
	}
	d := newDriver(t)
	for _, tt := range []struct {
		name, list string
		change     func(*drivers.TaskSpec)
	}{
		{"default", "testdata/probes.txt", func(*drivers.TaskSpec) {}},
		{"careful", "testdata/probes-careful.txt", func(s *drivers.TaskSpec) {
			s.User = "worker"
			with(s.Config, "cap_drop", []any{"all"}, "readonly_rootfs", true, "security_opt", []any{"no-new-privileges"}, "pids_limit", 64)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, with(run(), "entrypoint", []any{"/local/probe"}, "network_mode", "none"))
			tt.change(spec)
			if err := os.Link(program, filepath.Join(spec.Dir.Local, "probe")); err != nil {
				t.Fatal(err)
			}
			probe.Compare(t, output(t, d, spec), tt.list)
		})
	}
}
