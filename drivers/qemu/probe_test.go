//go:build linux

package qemu

import (
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
)

// What an emulator that a machine has taken over can reach is what the list says. The probes
// stand in for the emulator.
func TestProbes(t *testing.T) {
	dir := t.TempDir()
	if err := probe.Build(filepath.Join(dir, usualEmulator)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	spec := world.Spec(t, image())
	prepare(t, spec)
	probe.Compare(t, containertest.Output(t, newDriver(t, Config{}), spec), "testdata/probes.txt")
}
