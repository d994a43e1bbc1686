package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// Without a directory the command only asks: it names the survivor with the newest entry, by term first, and
// has nothing to recommend while a leader, or a majority that will elect one, is there.
func TestRecoveryIsAdvised(t *testing.T) {
	server := func(id string, index, term uint64) *nomadish.RaftServer {
		s := &nomadish.RaftServer{ID: id, Node: "(unknown)", Address: "(unknown)", Voter: true, LastIndex: index, LastTerm: term}
		if index > 0 {
			s.Node, s.Address = "node-"+id, "10.0.0."+id+":4647"
		}
		return s
	}
	leading := server("1", 90, 3)
	leading.Leader = true
	for _, tt := range []struct {
		name    string
		servers []*nomadish.RaftServer
		code    int
		want    string
	}{
		{"one survivor", []*nomadish.RaftServer{server("1", 0, 0), server("2", 90, 3), server("3", 0, 0)}, 0, "-index 90 -term 3"},
		{"the newer term counts", []*nomadish.RaftServer{
			server("1", 0, 0), server("2", 95, 3), server("3", 91, 4), server("4", 0, 0), server("5", 0, 0),
		}, 0, "stop the agent of node-3"},
		{"a majority is there", []*nomadish.RaftServer{server("1", 90, 3), server("2", 90, 3), server("3", 0, 0)}, 1, "nothing to recover"},
		{"a leader is there", []*nomadish.RaftServer{leading, server("2", 0, 0), server("3", 0, 0)}, 1, "nothing to recover"},
		{"nobody answers", []*nomadish.RaftServer{server("1", 0, 0)}, 1, "no server says"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/operator/raft/configuration" || r.URL.Query().Get("stale") != "true" {
					t.Errorf("asked %s", r.URL)
				}
				if err := json.NewEncoder(w).Encode(nomadish.RaftConfiguration{Servers: tt.servers}); err != nil {
					t.Error(err)
				}
			}))
			defer api.Close()
			got := runs(t, "", []string{"NOMAD_ADDR=" + api.URL}, "operator", "recover")
			if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.want) {
				t.Errorf("code %d, want %d with %q:\n%s%s", got.code, tt.code, tt.want, got.stdout, got.stderr)
			}
		})
	}
}

// Nothing is done without the flags that say what is meant, nor where there is no server's data.
func TestRecoveryIsExact(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args string
		code int
	}{
		{"-index 3 -term 1", 64},
		{"-discard", 64},
		{"-data-dir " + dir + " -index 3", 64},
		{"-data-dir " + dir + " -discard -index 3 -term 1", 64},
		{"-data-dir " + dir, 1},
		{"-data-dir " + dir + " -discard", 1},
		{"-data-dir " + filepath.Join(dir, "none") + " -index 3 -term 1", 1},
	} {
		if got := runs(t, "", nil, append([]string{"operator", "recover"}, strings.Fields(tt.args)...)...); got.code != tt.code {
			t.Errorf("%s: code %d, want %d: %s", tt.args, got.code, tt.code, got.stderr)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the directory holds %v, %v; want it empty still", entries, err)
	}
}

// What a saved state holds is shown without a server, and without what is secret.
func TestSnapshotState(t *testing.T) {
	c := newCluster(t)
	name := filepath.Join(t.TempDir(), "state.snap")
	c.ok(t, "var", "put", "app/key", "password=hunter2")
	c.ok(t, "operator", "snapshot", "save", name)
	out := c.ok(t, "operator", "snapshot", "state", name)
	var state struct {
		Index     uint64
		Nodes     []*nomadish.Node
		Variables []*nomadish.VariableMetadata
		Jobs      []*nomadish.Job
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		t.Fatal(err)
	}
	if state.Index == 0 || len(state.Nodes) != 1 || len(state.Variables) != 1 || state.Variables[0].Path != "app/key" || state.Jobs == nil {
		t.Errorf("got %+v", state)
	}
	if strings.Contains(out, "hunter2") {
		t.Error("the secret is shown")
	}
	if list := c.ok(t, "operator", "snapshot", "list"); !strings.Contains(list, "saves no snapshots") {
		t.Errorf("list: %s", list)
	}
}
