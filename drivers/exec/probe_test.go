//go:build linux

package exec_test

import (
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
)

// What a task can reach beyond itself is what the list says, by default and as root.
func TestProbes(t *testing.T) {
	for user, list := range map[string]string{"": "testdata/probes.txt", "root": "testdata/probes-root.txt"} {
		t.Run("user "+user, func(t *testing.T) {
			spec := world.Spec(t, map[string]any{"command": "probe"})
			spec.User = user
			if err := probe.Build(filepath.Join(spec.Dir.Local, "probe")); err != nil {
				t.Fatal(err)
			}
			own(t, spec)
			probe.Compare(t, containertest.Output(t, newDriver(t), spec), list)
		})
	}
}
