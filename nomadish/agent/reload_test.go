package agent_test

import (
	"slices"
	"testing"

	"github.com/nomadish/nomadish/nomadish/agent"
)

// Only what says something else needs a restart: not what has moved in its file, and not the
// log's level.
func TestNeedRestart(t *testing.T) {
	const before = `log_level = "info"
client { enabled = true servers = ["a"] meta { rack = "1" } }
consul { address = "a" }
plugin "docker" { config { gc { image = true } } }`
	for _, tt := range []struct {
		name, after string
		want        []string
	}{
		{"nothing", before, nil},
		{"moved, and another level", "# a comment\n\n\nlog_level = \"debug\"\n" + before[len("log_level = \"info\"\n"):], nil},
		{"a value in a block", `client { enabled = true servers = ["b"] meta { rack = "1" } }
consul { address = "a" }
plugin "docker" { config { gc { image = true } } }`, []string{"client"}},
		{"bodies that others read", `client { enabled = true servers = ["a"] meta { rack = "1" } }
consul { address = "b" }
plugin "docker" { config { gc { image = false } } }`, []string{"consul", "plugin"}},
		{"gone, and new", `region = "x"
client { enabled = true servers = ["a"] meta { rack = "1" } }`, []string{"consul", "plugin", "region"}},
	} {
		b, _, err := load(t, before)
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := load(t, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := agent.NeedRestart(b, a); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Another token for the authoritative region needs no restart; what else the block says does.
func TestReplicationTokenNeedsNoRestart(t *testing.T) {
	for after, want := range map[string][]string{
		"acl { replication_token = \"y\" }": nil, "acl { }": nil, "acl { replication_token = \"y\" enabled = true }": {"acl"}, "": {"acl"},
	} {
		b, _, err := load(t, `acl { replication_token = "x" }`)
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := load(t, after)
		if err != nil {
			t.Fatal(err)
		}
		if got := agent.NeedRestart(b, a); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", after, got, want)
		}
	}
}
