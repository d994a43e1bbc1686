package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// Files say the same of a node pool in HCL and in JSON; the examples are such files.
func TestReadNodePools(t *testing.T) {
	example := &nomadish.NodePool{
		Name: "example", Description: "for the example", Meta: map[string]string{"team": "shop"},
		SchedulerConfiguration: &nomadish.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: nomadish.Ptr(true)},
	}
	for _, tt := range []struct {
		name, file, text string
		want             []*nomadish.NodePool
	}{
		{"example", "pool.hcl", nodePoolExampleHCL, []*nomadish.NodePool{example}},
		{"example in JSON", "pool.json", nodePoolExampleJSON, []*nomadish.NodePool{example}},
		{"two, with a duration", "pools.hcl", "node_pool \"a\" { node_identity_ttl = \"720h\" }\nnode_pool \"b\" {}", []*nomadish.NodePool{
			{Name: "a", NodeIdentityTTL: nomadish.TextDuration(720 * time.Hour)}, {Name: "b"},
		}},
		{"nothing", "none.hcl", "# nothing", nil},
		{"no duration", "bad.hcl", `node_pool "a" { node_identity_ttl = "long" }`, nil},
		{"unknown attribute", "odd.hcl", `node_pool "a" { colour = "red" }`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := (&call{}).readNodePools(path, false)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(got, tt.want); err == nil && diff != "" {
				t.Errorf("got - want +:\n%s", diff)
			}
		})
	}
}
