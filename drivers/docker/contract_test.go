//go:build linux

package docker_test

import (
	"strconv"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
)

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:     func(testing.TB) drivers.Driver { return newDriver(t) }, // until the suite ends
		Exit:    func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep:   func() map[string]any { return run("sleep") },
		Print:   func(text string) map[string]any { return run("print", text) },
		Prepare: func(_ testing.TB, spec *drivers.TaskSpec) { spec.Cgroup = groupOf(spec) },
		Broken:  func() map[string]any { return with(run(), "entrypoint", []any{"/no/such/program"}) },
	})
}
