package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec/codectest"
	"github.com/nomadish/nomadish/server/state"
)

// The encoding of every command and of every result stays as it is.
func TestGolden(t *testing.T) {
	values := []codectest.Value{new(Entry), new(outcome)}
	for _, info := range kinds {
		values = append(values, info.make())
		if info.result != nil {
			values = append(values, info.result())
		}
	}
	codectest.Golden(t, "testdata/golden", values...)
}

// Kinds keep their numbers, and a kind's name is that of its type.
func TestKinds(t *testing.T) {
	for kind, info := range kinds {
		c := info.make()
		if c.Kind() != kind {
			t.Errorf("%s says it is kind %d, the registry %d", info.name, c.Kind(), kind)
		}
		if info.level < 1 || info.level > MaxLevel {
			t.Errorf("%s needs level %d; this program speaks 1 to %d", info.name, info.level, MaxLevel)
		}
	}
	want := []string{
		"Barrier", "TermStart", "RaiseClusterLevel", "RegisterJob", "StoreSubmission", "DeregisterJob", "PurgeJobs",
		"StabilizeJob", "RegisterNode", "UpdateNodeStatus", "UpdateNodeEligibility", "DeregisterNode",
		"UpdateAllocsFromNode", "TransitionAllocs", "ApplyPlan", "UpdateEvaluations", "DeleteEvaluations", "SetSchedulerConfig",
		"PutIdentityKey", "TagJobVersion", "ScaleJob",
	}
	for i, name := range want {
		if got := Kind(i + 1).String(); got != name {
			t.Errorf("kind %d is %s, want %s", i+1, got, name)
		}
	}
	later := map[Kind]string{
		22: "UpsertACLPolicies", 23: "DeleteACLPolicies", 24: "UpsertACLRoles", 25: "DeleteACLRoles", 26: "UpsertACLTokens",
		27: "DeleteACLTokens", 28: "BootstrapACL", 29: "PutOneTimeToken", 30: "ExchangeOneTimeToken", 31: "ExpireACL",
		32: "UpsertACLAuthMethods", 33: "DeleteACLAuthMethods", 34: "UpsertACLBindingRules", 35: "DeleteACLBindingRules",
		36: "ResealACL",
		40: "UpsertNamespaces", 41: "DeleteNamespaces", 42: "UpsertQuotas", 43: "DeleteQuotas", 60: "SetAutopilot",
		65: "UpsertNodePools", 66: "DeleteNodePools", 67: "UpdateNodeDrain", 68: "FinishDrains",
		70: "PutAuthority", 71: "AdvanceAuthority", 72: "CertifyAgents", 73: "PutJoinToken", 74: "DeleteJoinTokens", 75: "UseJoinToken", 76: "RewrapRootKeys", 77: "RevokeCertificates",
	}
	for kind, name := range later {
		if got := kind.String(); got != name {
			t.Errorf("kind %d is %s, want %s", kind, got, name)
		}
	}
	variables := []string{"SetVariable", "DeleteVariable", "AcquireLock", "ReleaseLock", "ExpireLocks", "ResealVariables"}
	for i, name := range variables {
		if got := Kind(i + 50).String(); got != name {
			t.Errorf("kind %d is %s, want %s", i+50, got, name)
		}
	}
}

// A whole entry stays as it is, small or compressed, and can be read again.
func TestEntryGolden(t *testing.T) {
	at := time.Unix(1_700_000_000, 5)
	large := &StoreSubmission{Namespace: "default", JobID: "web", Submission: &nomadish.JobSubmission{
		Format: "hcl2", Source: string(bytes.Repeat([]byte("# a comment\n"), 500)),
	}}
	for _, tt := range []struct {
		name    string
		command Command
		packed  bool
	}{
		{"small", &TermStart{Term: 7, ClusterID: "0f2c1ad9-4ab5-4a4e-9d13-3f1f5a4cbb01"}, false},
		{"large", large, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Encode(tt.command, "request-1", at)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "entry", tt.name+".hex")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; the encoding is\n%x", err, got)
			}
			old, err := hex.DecodeString(string(bytes.TrimSpace(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.packed && !slices.Equal(old, got) { // a compressor may learn to do better
				t.Errorf("encoded as\n%x\nand was, which it must stay,\n%x", got, old)
			}
			e, c, err := Decode(old)
			if err != nil {
				t.Fatal(err)
			}
			if e.RequestID != "request-1" || e.Time != at.UnixNano() || (e.Packed != nil) != tt.packed {
				t.Errorf("decoded as %+v", e)
			}
			if again, err := Encode(c, "request-1", at); err != nil || !slices.Equal(again, got) {
				t.Errorf("the decoded command is encoded as\n%x, want\n%x (error %v)", again, got, err)
			}
		})
	}
}

// panicking is a command with a fault.
type panicking struct{ Barrier }

func (panicking) Apply(*state.Writer) (any, error) { panic("a fault") }

// A command that panics stops the FSM and not the program.
func TestPanic(t *testing.T) {
	was := kinds[KindBarrier]
	t.Cleanup(func() { kinds[KindBarrier] = was })
	kinds[KindBarrier] = kindInfo{"Barrier", 1, func() command { return new(panicking) }, nil}
	f := New(state.New(), Config{})
	b, err := Encode(&Barrier{}, "", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	result := f.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: b}).(Result)
	if !errors.Is(result.Err, ErrStopped) || !strings.Contains(f.Err().Error(), "a fault") {
		t.Errorf("result %v, FSM %v; want that it has stopped", result.Err, f.Err())
	}
	if f.Store().Reader().Index() != 0 {
		t.Error("something was applied")
	}
}
