//go:build linux

// Package e2e tests the real program from outside: agents in processes of their own, asked
// over the API and by the command line. It needs root, for control groups and containers.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

// shared is the node of all tests that leave it as they found it.
var shared *machine.Node

func TestMain(m *testing.M) {
	code, err := withNode(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withNode runs the tests with a shared node and sees that they leave nothing.
func withNode(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("these tests run real tasks and need root")
	}
	dir, err := os.MkdirTemp("", "nomadish-e2e")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if shared, err = machine.New(machine.Config{Dir: dir, Dev: true}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	if err := shared.Start(); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := shared.Ready(ctx); err != nil {
		return 1, err
	}
	defer func() {
		if code != 0 || err != nil {
			fmt.Fprintln(os.Stderr, shared.PostMortem("shared"))
		}
	}()
	code = m.Run()
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	return code, machine.Until(ctx, "nothing is left", func(context.Context) error { return shared.Left() })
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
		n.Report(t)
		if err := n.Close(); err != nil {
			t.Error(err)
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
