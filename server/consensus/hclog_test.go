package consensus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

func newFSM() *fsm.FSM { return fsm.New(state.New(), fsm.Config{}) }

// What raft logs arrives with its level and its pairs, formatted where raft asks for it.
func TestHCLog(t *testing.T) {
	var out bytes.Buffer
	l := newHCLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})), "raft")
	l.With("server", "s1").Warn("election", "peers", hclog.Fmt("%d of %d", 1, 3))
	l.Debug("detail")
	l.Error("bad", "odd")
	got := out.String()
	for _, want := range []string{`level=WARN msg=election server=s1 peers="1 of 3"`, `level=ERROR msg=bad`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, "detail") || l.IsDebug() || !l.IsInfo() || l.GetLevel() != hclog.Info {
		t.Error("the level is not that of the slog.Logger")
	}
	if name := l.Named("net").Name(); name != "raft.net" {
		t.Errorf("name %q, want raft.net", name)
	}
}
