package consensus_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// lose runs three servers, writes n jobs, and stops all.
func lose(t *testing.T, n int64) *group {
	t.Helper()
	g := cluster(t, 3)
	leader := g.leader(t)
	var last uint64
	for i := range n {
		res, err := leader.Propose(t.Context(), register(i))
		if err != nil {
			t.Fatal(err)
		}
		last = res.Index
	}
	for _, c := range g.servers {
		if err := c.WaitIndex(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	g.stop()
	return g
}

// One survivor of three goes on alone with all that it had, by Recover or by a peers.json.
func TestRecover(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, cfg consensus.Config){
		"by command": func(t *testing.T, cfg consensus.Config) {
			before, err := consensus.Holds(cfg)
			if err != nil || len(before.Peers) != 3 || before.Index == 0 || before.Term == 0 {
				t.Fatalf("holds %+v, %v; want three servers", before, err)
			}
			if _, err := consensus.Recover(cfg, []consensus.Peer{{ID: "s2", Voter: true}}); nomadish.KindOf(err) != nomadish.KindInvalid {
				t.Errorf("recover without itself: %v, want a refusal", err)
			}
			if _, err := consensus.Recover(cfg, []consensus.Peer{{ID: "s1", Voter: true}}); err != nil {
				t.Fatal(err)
			}
			after, err := consensus.Holds(cfg)
			if err != nil || len(after.Peers) != 1 || after.Index != before.Index || after.Term != before.Term {
				t.Errorf("holds %+v, %v; want what it held (%+v) with itself alone", after, err, before)
			}
		},
		"by peers.json": func(t *testing.T, cfg consensus.Config) {
			const list = `[{"id": "s1", "address": "10.0.0.1:4647", "non_voter": false}]`
			if err := os.WriteFile(filepath.Join(cfg.Dir, "raft", "peers.json"), []byte(list), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const jobs = 50
			g := lose(t, jobs)
			do(t, consensus.Config{ID: "s1", Dir: g.dirs[0]})
			c, stop := single(t, g.dirs[0])
			defer stop()
			if peers := c.Peers(); len(peers) != 1 || peers[0].ID != "s1" {
				t.Errorf("the cluster is %v, want s1 alone", peers)
			}
			if _, err := c.Propose(t.Context(), register(jobs)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(g.dirs[0], "raft", "peers.json")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("peers.json is still there: %v", err)
			}
			snap, err := consensus.Holds(consensus.Config{ID: "s1", Dir: g.dirs[1]})
			if err != nil || len(snap.Peers) != 3 {
				t.Errorf("another survivor holds %+v, %v; want it untouched", snap, err)
			}
		})
	}
}

// Where there is no data, nothing is made: the directory may be another machine's.
func TestRecoverWithoutData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "server")
	if _, err := consensus.Holds(consensus.Config{ID: "s1", Dir: dir}); !errors.Is(err, consensus.ErrNoData) {
		t.Errorf("got %v, want ErrNoData", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// A server whose acknowledged data is damaged does not open it, and says which file, where, and what to do.
func TestDamageIsSaid(t *testing.T) {
	g := lose(t, 20)
	names, err := filepath.Glob(filepath.Join(g.dirs[0], "raft", "*.log"))
	if err != nil || len(names) != 1 {
		t.Fatalf("log files %v, %v", names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 0x10 // in one of the first entries; space is reserved behind the last
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = consensus.New(consensus.Config{ID: "s1", Dir: g.dirs[0]}, fsm.New(state.New(), fsm.Config{}), alone{})
	var damage *logstore.CorruptError
	if !errors.Is(err, consensus.ErrDisk) || !errors.As(err, &damage) || damage.File != names[0] || damage.Offset == 0 || damage.Index == 0 || !strings.Contains(err.Error(), "operator recover -discard") {
		t.Errorf("got %v (%+v)", err, damage)
	}
}
