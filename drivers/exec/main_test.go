//go:build linux

package exec_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/exec"
)

var world containertest.World

func TestMain(m *testing.M) { os.Exit(world.Main(m, nil)) }

func newDriver(t testing.TB, change ...func(*sandbox.Config)) *exec.Driver {
	t.Helper()
	var cfg sandbox.Config
	for _, f := range change {
		f(&cfg)
	}
	d, err := exec.New(cfg, world.Runtime(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run is a config block that has the test program do what the arguments say.
func run(args ...string) map[string]any { return map[string]any{"command": "task", "args": args} }

// with adds an option to a config block.
func with(config map[string]any, option string, value any) map[string]any {
	config[option] = value
	return config
}

// taskSpec is a specification with the test program in the task's directory.
func taskSpec(t testing.TB, config map[string]any) *drivers.TaskSpec {
	t.Helper()
	spec := world.Spec(t, config)
	world.Install(t, spec)
	return spec
}

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:   func(testing.TB) drivers.Driver { return newDriver(t) }, // until the suite ends
		Exit:  func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep: func() map[string]any { return run("sleep") },
		Print: func(text string) map[string]any { return run("print", text) },
		Prepare: func(t testing.TB, spec *drivers.TaskSpec) {
			spec.Cgroup = containertest.Cgroup(spec)
			world.Install(t, spec)
		},
		Broken: func() map[string]any { return map[string]any{"command": "/no/such/program"} },
	})
}
