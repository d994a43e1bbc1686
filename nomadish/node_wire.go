package nomadish

// BinaryMediaType is the content type of bodies in the encoding of package codec.
const BinaryMediaType = "application/vnd.nomadish"

// NodeAllocations is what a node learns of its allocations: what the servers have changed
// since an earlier answer, or all when it has none. Where Since is 0, Allocs and Ended together
// are all that there are.
type NodeAllocations struct {
	Allocs []*Allocation // those that have not ended
	Jobs   []*Job        // each version that they run, once
	Index  uint64        `json:",omitempty"` // of the state that the answer is from
	Since  uint64        `json:",omitempty"` // index of the earlier answer
	Ended  []string      `json:",omitempty"` // IDs of those whose end the servers know
	Listed []string      // IDs of all, when one that the earlier answer counted is gone; otherwise null
	Count  int           `json:",omitempty"` // of all
}

// Link fills in the Job of each allocation.
func (n *NodeAllocations) Link() error {
	type version struct {
		namespace, id string
		version       uint64
	}
	jobs := make(map[version]*Job, len(n.Jobs))
	for _, j := range n.Jobs {
		jobs[version{Val(j.Namespace), Val(j.ID), Val(j.Version)}] = j
	}
	for _, a := range n.Allocs {
		if a.Job = jobs[version{a.Namespace, a.JobID, a.JobVersion}]; a.Job == nil {
			return Errorf(KindInternal, "allocation %s: its job %q, version %d, is not in the answer", a.ID, a.JobID, a.JobVersion)
		}
	}
	return nil
}

// KeySet is a set of public keys in the form of RFC 7517.
type KeySet struct {
	Keys []map[string]any `json:"keys"`
}
