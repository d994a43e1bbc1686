//go:build linux

package container_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// A containerd of ours that nothing points to any more is ended, not waited for, and another
// takes its place.
func TestContainerdThatIsNotFound(t *testing.T) {
	e, err := engine.New(engine.Config{DataDir: t.TempDir(), Program: world.Program, Ephemeral: true, Logger: containertest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if _, err := e.Client(containertest.Context(t)); err != nil {
		t.Fatal(err)
	}
	first := process.Read(e.Layout().Process())
	if err := os.Remove(e.Layout().Process()); err != nil {
		t.Fatal(err)
	}
	c, err := e.Client(containertest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(containertest.Context(t)); err != nil {
		t.Fatal(err)
	}
	if second := process.Read(e.Layout().Process()); first.Alive() || !second.Alive() {
		t.Errorf("the first, %d, alive: %t; the second, %d, alive: %t", first.PID, first.Alive(), second.PID, second.Alive())
	}
}

// A containerd whose directory was removed, while no agent ran, is of no use to the next one: it
// is ended, and another takes its place.
func TestContainerdWithoutItsDirectory(t *testing.T) {
	dir := t.TempDir()
	var before process.ID
	for _, ephemeral := range []bool{false, true} {
		e, err := engine.New(engine.Config{DataDir: dir, Program: world.Program, Ephemeral: ephemeral, Logger: containertest.Log(t)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		_, err = e.Client(containertest.Context(t))
		now := process.Read(e.Layout().Process())
		if _, missing := os.Stat(e.Layout().Shim()); missing != nil || before.Alive() || !now.Alive() {
			t.Errorf("the one before alive: %t; this one: %t; %v", before.Alive(), now.Alive(), missing)
		}
		stop()
		if err := errors.Join(err, <-ended); err != nil {
			t.Error(err)
		}
		before = now
		if err := os.RemoveAll(e.Layout().Data); err != nil {
			t.Error(err)
		}
	}
}
