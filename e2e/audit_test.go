//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// auditOf runs the command that checks a log, and returns what it says.
func auditOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := machine.Binary()
	must(t, err)
	out, err := exec.CommandContext(testContext(t), binary, append([]string{"operator", "audit"}, args...)...).CombinedOutput()
	return string(out), err
}

// An agent that is killed while it records writes leaves a log whose chain is whole, in which
// every write that was answered is told of; one changed byte is found. Reads are there as
// well, and no query string or body.
func TestAuditLogSurvivesKills(t *testing.T) {
	n, err := machine.New(machine.Config{Dir: t.TempDir(), Dev: true, Agent: map[string]any{"audit": map[string]any{"enabled": true}}})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	ctx := testContext(t)
	var mu sync.Mutex
	answered := map[string]bool{}
	for round := range 3 {
		must(t, n.Start())
		must(t, n.Ready(ctx))
		writing, stop := context.WithCancel(ctx)
		var writers sync.WaitGroup
		enough := make(chan struct{}, 1000)
		for w := range 4 {
			writers.Go(func() {
				for i := 0; writing.Err() == nil; i++ {
					id := fmt.Sprintf("none-%d-%d-%d", round, w, i)
					if !evaluates(writing, n, id) {
						continue
					}
					mu.Lock()
					answered[id] = true
					mu.Unlock()
					select {
					case enough <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 50 {
			<-enough
		}
		must(t, n.Kill())
		stop()
		writers.Wait()
	}
	log := filepath.Join(n.DataDir(), "audit", "audit.log")
	said, err := auditOf(t, "-q", log)
	if err != nil || !strings.Contains(said, "The chain is whole") {
		t.Fatalf("after kills: %v: %s", err, said)
	}
	text, err := os.ReadFile(log)
	must(t, err)
	for id := range answered {
		if n := bytes.Count(text, []byte(`"endpoint":"/v1/job/`+id+`/evaluate"`)); n != 2 {
			t.Errorf("%s: %d entries, want 2: received and complete", id, n)
		}
	}
	if bytes.Contains(text, []byte("canary")) {
		t.Error("what a query or a body said is in the log")
	}

	at := bytes.LastIndex(text, []byte("/evaluate"))
	text[at+1] ^= 0x20
	must(t, os.WriteFile(log, text, 0o600))
	if said, err := auditOf(t, log); err == nil || !strings.Contains(said, "the chain is broken") {
		t.Errorf("after a byte was changed: %v: %s", err, said)
	}
}

// evaluates asks for something to be changed that is not there, and says whether an answer came.
func evaluates(ctx context.Context, n *machine.Node, id string) bool {
	url := "http://" + n.Addr + "/v1/job/" + id + "/evaluate?canary-query=1"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(`{"JobID":"canary-body"}`))
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}
