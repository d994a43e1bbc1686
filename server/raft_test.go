package server

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
)

// Hashes are compared at the newest index that all servers that answered know; one that differs shows.
func TestCompareHashes(t *testing.T) {
	peers := []consensus.Peer{{ID: "s1"}, {ID: "s2"}, {ID: "s3"}}
	report := func(hashes ...nomadish.StateHash) *nomadish.ServerReport {
		return &nomadish.ServerReport{Hashes: hashes}
	}
	at := func(index uint64, hash string) nomadish.StateHash {
		return nomadish.StateHash{Index: index, Level: 1, Hash: hash}
	}
	for _, tt := range []struct {
		name   string
		second *nomadish.ServerReport
		index  uint64
		equal  bool
	}{
		{"same", report(at(1024, "a"), at(2048, "b"), at(2060, "d")), 2048, true},
		{"one behind", report(at(1024, "a"), at(1100, "x")), 1024, true},
		{"other state", report(at(1024, "a"), at(2048, "z")), 2048, false},
		{"nothing in common", report(at(7, "a")), 0, false},
		{"silent", nil, 2050, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := map[string]*nomadish.ServerReport{"s1": report(at(1024, "a"), at(2048, "b"), at(2050, "c"))}
			if tt.second != nil {
				reports["s2"] = tt.second
			}
			got := compareHashes(peers, reports)
			if got.Index != tt.index || got.Equal != tt.equal || got.Servers[2].Error == "" {
				t.Errorf("index %d, equal %t, want %d, %t", got.Index, got.Equal, tt.index, tt.equal)
			}
		})
	}
}
