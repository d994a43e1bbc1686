package consensus_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
	"github.com/nomadish/nomadish/server/state"
)

// A server that starts with a log knows of which cluster it is before anybody tells it what of the log is
// committed. A file that was damaged, or is left of a server that has no log any more, names none.
func TestClusterIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "server")
	file := filepath.Join(dir, "cluster")
	c, stop := single(t, dir)
	want := c.Cluster()
	var content []byte
	servertest.Eventually(t, "the cluster's name on the disk", func() (err error) {
		content, err = os.ReadFile(file)
		return err
	})
	stop()
	if want == "" {
		t.Fatal("a leader's cluster has no name")
	}
	opened := func() string {
		t.Helper()
		c, err := consensus.New(consensus.Config{ID: "s1", Dir: dir}, fsm.New(state.New(), fsm.Config{}), alone{})
		if err != nil {
			t.Fatal(err)
		}
		name := c.Cluster()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if got := opened(); got != want {
		t.Errorf("opened, it is of cluster %q, want %q", got, want)
	}
	for i := range content {
		bad := append([]byte{}, content...)
		bad[i] ^= 1
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := opened(); got != "" && got != want {
			t.Errorf("with byte %d damaged it is of cluster %q", i, got)
		}
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "raft")); err != nil {
		t.Fatal(err)
	}
	if got := opened(); got != "" {
		t.Errorf("without a log it is of cluster %q", got)
	}
}
