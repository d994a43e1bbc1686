package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var aclPolicies = newTable[nomadish.ACLPolicy](20, TableACLPolicies, func(p *nomadish.ACLPolicy) ([]byte, error) { return nameKey(p.Name) }).
	by(indexJob, func(p *nomadish.ACLPolicy) ([]byte, error) {
		if p.JobACL == nil {
			return nil, nil
		}
		return jobHash(p.JobACL.Namespace, p.JobACL.JobID), nil
	})

// ACLPolicy returns a policy.
func (r Reader) ACLPolicy(ws memdb.WatchSet, name string) (*nomadish.ACLPolicy, error) {
	return byName(r, ws, aclPolicies, "ACL policy", name)
}

// ACLPolicies lists the policies whose name starts with prefix, by name.
func (r Reader) ACLPolicies(ws memdb.WatchSet, prefix string) iter.Seq[*nomadish.ACLPolicy] {
	return listByName(r, ws, aclPolicies, prefix)
}

// ACLPoliciesOfJob lists the policies that a task's workload identity has, by name. Names
// match exactly.
func (r Reader) ACLPoliciesOfJob(ws memdb.WatchSet, namespace, job, group, task string) iter.Seq[*nomadish.ACLPolicy] {
	return filter(list(r, ws, aclPolicies, indexJob, jobHash(namespace, job)), func(p *nomadish.ACLPolicy) bool {
		return p.JobACL.Matches(namespace, job, group, task)
	})
}

// PutACLPolicy stores a policy, whole, in place of the one with its name.
func (w *Writer) PutACLPolicy(policy *nomadish.ACLPolicy) error {
	p := *policy
	var created uint64
	if old, err := w.ACLPolicy(nil, p.Name); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&p.CreateIndex, &p.ModifyIndex, created)
	return put(w.txn, aclPolicies, &p)
}

// DeleteACLPolicy removes a policy. Tokens and roles that name it lose what it gave.
func (w *Writer) DeleteACLPolicy(name string) error {
	return removeNamed(w, aclPolicies, "ACL policy", name)
}
