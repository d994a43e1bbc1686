package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

// A stopped server's data is shown, goes on with where it is the one that was meant, and is set aside under
// a new ID; while its agent runs, and where there is none, nothing happens.
func TestRecoverSurvivor(t *testing.T) {
	dir := t.TempDir()
	if _, err := agent.LookSurvivor(dir); !errors.Is(err, consensus.ErrNoData) {
		t.Errorf("an empty directory: %v, want ErrNoData", err)
	}
	lead := func() string {
		a, err := agent.New(agent.Config{DataDir: dir, Server: &server.Config{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		for {
			if leader, err := a.Client().Status().Leader(ctx); err == nil && leader != "" {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if _, err := agent.DiscardServer(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("while the agent runs: %v, want a refusal", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "server", "id"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	id := lead()
	s, err := agent.LookSurvivor(dir)
	if err != nil || s.ID != id || s.Holds.Index == 0 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if _, err := agent.RecoverSurvivor(dir, s.Holds.Index+1, s.Holds.Term, nil); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("another index than its own: %v, want a refusal", err)
	}
	if _, err := agent.RecoverSurvivor(dir, s.Holds.Index, s.Holds.Term, nil); err != nil {
		t.Fatal(err)
	}
	if again := lead(); again != id {
		t.Errorf("after recovery it is %s, want %s", again, id)
	}
	aside, err := agent.DiscardServer(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(aside, "raft")); err != nil {
		t.Error(err)
	}
	if fresh := lead(); fresh == id {
		t.Errorf("after its data was set aside it is %s still", id)
	}
}
