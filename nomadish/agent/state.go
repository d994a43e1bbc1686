package agent

import (
	"io"
	"iter"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server/state"
)

// SnapshotState returns what a saved state holds, by the names that Nomad's command for it uses. Secrets
// are not in it: those of a saved state are sealed, and are left out.
func SnapshotState(in io.Reader) (map[string]any, error) {
	file, err := snapshot.NewReader(in)
	if err != nil {
		return nil, err
	}
	store, err := state.ReadSnapshot(file)
	if err != nil {
		return nil, err
	}
	r := store.Reader()
	roles, err := r.ACLRoles(nil, "")
	if err != nil {
		return nil, err
	}
	tokens, err := r.ACLTokens(nil, "")
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"Index": r.Index(), "Term": r.Term(), "Level": r.Level(), "ClusterID": r.ClusterID(),
		"ACLPolicies": list(r.ACLPolicies(nil, "")), "ACLRoles": list(roles), "ACLTokens": list(tokens),
		"ACLAuthMethods": list(r.ACLAuthMethods(nil)),
		"Allocs":         list(r.Allocations(nil)), "Evals": list(r.Evaluations(nil)), "Deployments": list(r.Deployments(nil, state.AnyNamespace)),
		"Namespaces": list(r.Namespaces(nil)), "Nodes": list(r.Nodes(nil)), "NodePools": list(r.NodePools(nil)), "Quotas": list(r.Quotas(nil, "")),
		"SchedulerConfig": r.SchedulerConfig(nil), "Autopilot": r.Autopilot(nil), "Variables": variableNames(r),
	}
	return out, jobsOf(r, out)
}

// jobsOf adds the jobs with their versions and summaries.
func jobsOf(r state.Reader, out map[string]any) error {
	jobs, versions, summaries := list(r.Jobs(nil, state.AnyNamespace)), []*nomadish.Job{}, []*nomadish.JobSummary{}
	for _, j := range jobs {
		namespace, id := nomadish.Val(j.Namespace), nomadish.Val(j.ID)
		all, err := r.JobVersions(nil, namespace, id)
		if err != nil {
			return err
		}
		versions = append(versions, all...)
		summary, err := r.JobSummary(nil, namespace, id)
		if err != nil {
			return err
		}
		summaries = append(summaries, summary)
	}
	out["Jobs"], out["JobVersions"], out["JobSummaries"] = jobs, versions, summaries
	return nil
}

// variableNames lists the variables without their items.
func variableNames(r state.Reader) []*nomadish.VariableMetadata {
	names := []*nomadish.VariableMetadata{}
	for v := range r.Variables(nil, state.AnyNamespace, "", nomadish.VariableName{}) {
		names = append(names, &v.VariableMetadata)
	}
	return names
}

// list collects rows; none are an empty list in JSON, too.
func list[T any](rows iter.Seq[T]) []T {
	return slices.AppendSeq([]T{}, rows)
}
