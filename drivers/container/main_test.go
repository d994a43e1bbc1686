//go:build linux

package container_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest"
)

var world containertest.World

// root is a file system with the test program as /task, for all tasks.
var root string

func TestMain(m *testing.M) {
	os.Exit(world.Main(m, func() error {
		root = filepath.Join(world.Root, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
		return exec.Command("cp", world.Task, filepath.Join(root, "task")).Run()
	}))
}

// plain is the least that a driver can be: it runs the test program with the option args.
type plain struct {
	*container.Runtime
	change func(*container.Plan)
}

func newDriver(t testing.TB) plain { return plain{Runtime: world.Runtime(t)} }

func (plain) Fingerprint(context.Context) (drivers.Fingerprint, error) {
	return drivers.Fingerprint{Health: drivers.Healthy}, nil
}

func (plain) Schema() drivers.Schema { return nil }

func (d plain) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	return d.Runtime.Start(ctx, "plain", spec, func(context.Context, *client.Client) (*container.Plan, error) {
		args := drivers.NewOptions(spec.Config).Strings("args")
		p := &container.Plan{
			Root: container.Root{Dir: root, ReadOnly: true},
			Args: append([]string{"/task"}, args...),
		}
		if len(args) == 0 {
			p.Args = []string{"/no/such/program"}
		}
		if d.change != nil {
			d.change(p)
		}
		return p, nil
	})
}

// run is a config block that has the test program do what the arguments say.
func run(args ...string) map[string]any { return map[string]any{"args": args} }

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:     func(testing.TB) drivers.Driver { return newDriver(t) }, // until the suite ends
		Exit:    func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep:   func() map[string]any { return run("sleep") },
		Print:   func(text string) map[string]any { return run("print", text) },
		Prepare: func(_ testing.TB, spec *drivers.TaskSpec) { spec.Cgroup = containertest.Cgroup(spec) },
		Broken:  func() map[string]any { return run() },
	})
}
