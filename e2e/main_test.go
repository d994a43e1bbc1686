//go:build linux

// Package e2e tests the real program from outside: agents in processes of their own, asked
// over the API and by the command line. It needs root, for control groups and containers.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

// shared is the node of all tests that leave it as they found it.
var shared *machine.Node

func TestMain(m *testing.M) { os.Exit(withNode(m)) }

// withNode runs the tests with a shared node and sees that they leave nothing.
func withNode(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests run real tasks and need root")
		return 1
	}
	dir, err := os.MkdirTemp("", "nomadish-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	code, err := 1, error(nil)
	if shared, err = machine.New(machine.Config{Dir: dir, Dev: true, Archives: filepath.Join(dir, "images")}); err == nil {
		err = shared.Start()
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err = shared.Ready(ctx)
		cancel()
	}
	if err == nil {
		code = m.Run()
		err = shared.Left()
	}
	if shared != nil {
		if e := shared.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// newNode makes a node of the test's own and starts its agent.
func newNode(t *testing.T, cfg machine.Config) *machine.Node {
	t.Helper()
	cfg.Dir = t.TempDir()
	n, err := machine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the agent's log:%s", n.LogTail(32<<10))
		}
	})
	restart(t, n)
	return n
}

// restart starts a node's agent again and waits until it is ready.
func restart(t *testing.T, n *machine.Node) {
	t.Helper()
	must(t, n.Start())
	must(t, n.Ready(testContext(t)))
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
