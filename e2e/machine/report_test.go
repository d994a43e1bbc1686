//go:build linux

package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stand is a program in the place of an agent.
func stand(t *testing.T, script string) *Node {
	t.Helper()
	t.Setenv("NOMADISH_E2E_LOGS", filepath.Join(t.TempDir(), "kept"))
	dir := t.TempDir()
	program := filepath.Join(dir, "agent")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Binary: program, Dir: filepath.Join(dir, "node")})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Kill(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// An agent that ends by itself fails the test that closes it, with its status and last words.
func TestEndedByItself(t *testing.T) {
	n := stand(t, "echo panic: oh no; exit 2")
	<-n.ended
	if err := n.Ended(); err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "oh no") {
		t.Errorf("error %v", err)
	}
	text := n.PostMortem("Test/One two")
	kept := filepath.Join(os.Getenv("NOMADISH_E2E_LOGS"), "Test-One-two-"+n.group+".log")
	log, err := os.ReadFile(kept)
	if err != nil || string(log) != "panic: oh no\n" {
		t.Errorf("kept %q, %v", log, err)
	}
	if !strings.Contains(text, "the agent ended: exit status 2") || !strings.Contains(text, kept) {
		t.Errorf("post mortem: %s", text)
	}
}

// One that is asked to end does not, and one that hangs says what it does before it ends.
func TestEndedOnPurpose(t *testing.T) {
	n := stand(t, "trap 'echo goroutine 1; exit 2' QUIT; echo ready; while :; do sleep 0.01; done")
	end := time.Now().Add(stopTimeout)
	for !strings.Contains(n.LogTail(tail), "ready") && time.Now().Before(end) {
		time.Sleep(pause)
	}
	if text := n.PostMortem(t.Name()); !strings.Contains(text, "the agent was running") || !strings.Contains(text, "goroutine 1") {
		t.Errorf("post mortem: %s", text)
	}
	if err := n.Ended(); err != nil {
		t.Errorf("an end on purpose is an error: %v", err)
	}
}
