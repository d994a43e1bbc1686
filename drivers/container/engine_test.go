//go:build linux

package container_test

import (
	"context"
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
