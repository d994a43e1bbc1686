package endpoint

import (
	"context"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// NodeAllocations returns what the servers have changed of a node's allocations since the answer
// of an index and count, 0 for all that there are. Its own index, for which a node waits, is that
// of their newest change: reports of the node's own wake nobody. When an allocation is deleted it
// does not grow, so that the node learns of it with its next answer.
//
// Only of all there are does a node learn what it is to stop: that list is of a state that is up to date, and
// not of one that this server, just started, is still reading from its log.
//
// However many allocations have ended, an answer tells only of what has changed. What was there
// at the earlier answer can since only have become less, so that its count says whether one of
// them is gone.
func (e *Endpoint) NodeAllocations(ctx context.Context, ws memdb.WatchSet, nodeID string, since uint64, count int) (*nomadish.NodeAllocations, uint64, error) {
	if since == 0 && e.cfg.Sync != nil {
		if err := e.cfg.Sync(ctx); err != nil {
			return nil, 0, err
		}
	}
	r := e.store.Reader()
	restored := r.Restored()
	if since < restored { // what the node knows was said of another state
		since, count = 0, 0
	}
	out := &nomadish.NodeAllocations{Index: r.Index(), Since: since}
	index, remain := max(restored, r.NodeWork(ws, nodeID), 1), 0
	for a := range r.AllocationsByNode(nil, nodeID) {
		out.Count++
		if a.CreateIndex <= since {
			remain++
		}
		switch {
		case a.AllocModifyIndex <= since:
		case a.ClientTerminal():
			out.Ended = append(out.Ended, a.ID)
		default:
			out.Allocs = append(out.Allocs, a)
		}
	}
	if since > 0 && remain != count {
		out.Listed = make([]string, 0, out.Count)
		for a := range r.AllocationsByNode(nil, nodeID) {
			out.Listed = append(out.Listed, a.ID)
		}
	}
	var err error
	out.Jobs, err = jobsOf(r, out.Allocs)
	return out, index, err
}

// jobsOf returns the job versions that allocations run, each once.
func jobsOf(r state.Reader, allocs []*nomadish.Allocation) ([]*nomadish.Job, error) {
	type version struct {
		namespace, id string
		version       uint64
	}
	var jobs []*nomadish.Job
	seen := map[version]bool{}
	for _, a := range allocs {
		v := version{a.Namespace, a.JobID, a.JobVersion}
		if seen[v] {
			continue
		}
		seen[v] = true
		job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion)
		if err != nil {
			return nil, nomadish.Errorf(nomadish.KindInternal, "allocation %s: job %q version %d: %w", a.ID, a.JobID, a.JobVersion, err)
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}
