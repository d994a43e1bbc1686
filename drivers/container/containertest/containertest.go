//go:build linux

// Package containertest gives tests a real containerd, as a node has it: one runtime for all
// tests of a package, made and taken down by its TestMain, which also sees that nothing is
// left on the machine.
//
//	var world containertest.World
//
//	func TestMain(m *testing.M) { os.Exit(world.Main(m, nil)) }
//
//	func TestX(t *testing.T) {
//		d := exec.New(exec.Config{}, world.Runtime(t))
//		spec := world.Spec(t, map[string]any{"command": "/local/task", "args": []any{"exit", "3"}})
//		world.Install(t, spec)
//		h := containertest.Start(t, d, spec)
//		exit := containertest.Wait(t, d, h)
//	}
//
// Its test program, task, does what its arguments say, one after the other: print TEXT, exit
// CODE, sleep, trap SIGNAL CODE, children N, cat FILE, write FILE TEXT, status FIELD, ….
package containertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
)

// World is what all tests of a package share: one runtime, as on a node. Its fields are set
// while Main runs.
type World struct {
	Root    string // directory for files of all tests, removed at the end
	Dir     string // data_dir
	Program string // the binary with the runtime in it
	Task    string // the test program, which needs no libraries
	Seccomp bool   // whether the runtime can filter system calls
}

// Main builds the programs, calls prepare (nil: nothing), runs the tests, and takes all down.
// It returns the exit code for os.Exit.
func (w *World) Main(m *testing.M, prepare func() error) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of this package run containers and need root")
		return 1
	}
	err := w.build()
	if err == nil && prepare != nil {
		err = prepare()
	}
	code := 1
	if err == nil {
		code = m.Run()
		err = w.end()
	}
	if err := errors.Join(err, os.RemoveAll(w.Root)); err != nil {
		fmt.Fprintln(os.Stderr, "before or after all tests:", err)
		return max(code, 1)
	}
	return code
}

func (w *World) build() error {
	root, err := os.MkdirTemp("", "nomadish-container")
	if err != nil {
		return err
	}
	w.Root, w.Dir = root, filepath.Join(root, "data")
	w.Program, w.Task = filepath.Join(root, "nomadish"), filepath.Join(root, "task")
	if err := os.Mkdir(w.Dir, 0o700); err != nil {
		return err
	}
	const programs = "github.com/nomadish/nomadish/drivers/container/containertest/testdata/"
	if err := Build(w.Program, programs+"nomadish", "CGO_ENABLED=1"); err != nil {
		return err
	}
	if err := Build(w.Task, programs+"task", "CGO_ENABLED=0"); err != nil {
		return err
	}
	out, err := exec.CommandContext(context.Background(), w.Program, "seccomp").Output()
	w.Seccomp = strings.TrimSpace(string(out)) == "true"
	return err
}

// Build builds a Go program.
func Build(out, pkg string, env ...string) error {
	tags := "netgo,osusergo" // as of the released program, which is static
	if exec.CommandContext(context.Background(), "pkg-config", "--exists", "libseccomp").Run() == nil {
		tags += ",seccomp"
	}
	args := []string{"build", "-tags", tags, "-ldflags", "-extldflags -static", "-o", out}
	cmd := exec.CommandContext(context.Background(), "go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// end ends containerd and says what is left.
func (w *World) end() error {
	e, err := engine.New(engine.Config{DataDir: w.Dir, Program: w.Program, Ephemeral: true})
	if err != nil {
		return err
	}
	r, err := container.New(container.Config{}, e)
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(r.Run(ended), w.leftovers(), trees.Prune(group()))
}

// Runtime opens the runtime, as an agent does, until the test ends.
func (w *World) Runtime(t testing.TB) *container.Runtime {
	t.Helper()
	return w.RuntimeOf(t, w.Program)
}

// RuntimeOf is Runtime of an agent that is another program.
func (w *World) RuntimeOf(t testing.TB, program string) *container.Runtime {
	t.Helper()
	e, err := engine.New(engine.Config{DataDir: w.Dir, Program: program, Logger: Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := container.New(container.Config{Seccomp: w.Seccomp, Logger: Log(t)}, e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// Layout says where the runtime's files are.
func (w *World) Layout() layout.Layout { return layout.For(w.Dir) }

// Spec returns a specification whose control group is below the tests' own.
func (w *World) Spec(t testing.TB, config map[string]any) *drivers.TaskSpec {
	t.Helper()
	spec := drivertest.Spec(t, config)
	spec.Cgroup = Cgroup(spec)
	return spec
}

// Install puts the test program into the task's directory, as local/task.
func (w *World) Install(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	if err := os.Chmod(w.Task, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(w.Task, filepath.Join(spec.Dir.Local, "task")); err != nil {
		t.Fatal(err)
	}
}

// Cgroup is the control group of a task in tests.
func Cgroup(spec *drivers.TaskSpec) string { return group() + "/" + spec.Key() }

// group holds the control groups of this run's tasks.
func group() string { return fmt.Sprintf("nomadish-container-test-%d", os.Getpid()) }

// Log writes into the test's own output.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
