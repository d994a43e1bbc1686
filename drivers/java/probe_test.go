//go:build linux

package java

import (
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
)

// What a task can reach beyond itself is what the list says. The probes stand in for Java.
func TestProbes(t *testing.T) {
	program := filepath.Join(t.TempDir(), "java")
	if err := probe.Build(program); err != nil {
		t.Fatal(err)
	}
	spec := world.Spec(t, run())
	prepare(t, spec)
	probe.Compare(t, containertest.Output(t, newDriver(t, program), spec), "testdata/probes.txt")
}
