package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
)

// A server is wrong where a majority of all voters has another state than it, at the newest index that
// can tell; what nobody can tell changes nothing.
func TestCompareStates(t *testing.T) {
	at := func(index uint64, hash string) nomadish.StateHash {
		return nomadish.StateHash{Index: index, Level: 1, Hash: hash}
	}
	report := func(hashes ...nomadish.StateHash) *nomadish.ServerReport {
		return &nomadish.ServerReport{Hashes: hashes}
	}
	peers := []consensus.Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}, {ID: "s3", Voter: true}, {ID: "s4"}}
	for _, tt := range []struct {
		name           string
		s1, s2, s3, s4 *nomadish.ServerReport
		want           finding
	}{
		{"same", report(at(1024, "a")), report(at(1024, "a")), report(at(1024, "a")), nil, finding{index: 1024}},
		{"of the minority", report(at(1024, "x")), report(at(1024, "a")), report(at(1024, "a")), nil, finding{index: 1024, right: []string{"s2", "s3"}}},
		{"of the majority", report(at(1024, "a")), report(at(1024, "a")), report(at(1024, "x")), nil, finding{index: 1024}},
		{"one behind", report(at(1024, "a"), at(2048, "b")), report(at(1024, "a"), at(2048, "b")), report(at(1024, "a")), nil, finding{index: 2048}},
		{"it is ahead", report(at(1024, "x"), at(2048, "y")), report(at(1024, "a")), report(at(1024, "a")), nil, finding{index: 1024, right: []string{"s2", "s3"}}},
		{"one voter is silent", report(at(1024, "x")), report(at(1024, "a")), nil, report(at(1024, "a")), finding{}},
		{"an older index tells", report(at(1024, "x"), at(1030, "y")), report(at(1024, "a"), at(1030, "b")), report(at(1024, "a")), nil, finding{index: 1024, right: []string{"s2", "s3"}}},
		{"it came apart since", report(at(1024, "a"), at(2048, "x")), report(at(1024, "a"), at(2048, "y")), report(at(1024, "a"), at(2048, "z")), nil, finding{index: 2048, split: true}},
		{"all differ", report(at(1024, "x")), report(at(1024, "y")), report(at(1024, "z")), nil, finding{index: 1024, split: true}},
		{"alone", report(at(1024, "x")), nil, nil, report(at(1024, "a")), finding{}},
		{"nothing known of itself", nil, report(at(1024, "a")), report(at(1024, "a")), nil, finding{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := map[string]*nomadish.ServerReport{}
			for id, r := range map[string]*nomadish.ServerReport{"s1": tt.s1, "s2": tt.s2, "s3": tt.s3, "s4": tt.s4} {
				if r != nil {
					reports[id] = r
				}
			}
			got := compareStates("s1", peers, reports)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
