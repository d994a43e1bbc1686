package endpoint

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// maxIdentities is how many identities a node may ask for at once.
const maxIdentities = 128

// SignIdentities signs identities of tasks that run on a node. Each is answered for itself,
// by its place in the request.
func (e *Endpoint) SignIdentities(_ context.Context, nodeID string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error) {
	if n := len(req.Identities); n > maxIdentities {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%d identities are asked for at once, %d is the most", n, maxIdentities)
	}
	r := e.store.Reader()
	resp := &nomadish.IdentitiesResponse{Identities: make([]nomadish.SignedIdentity, len(req.Identities))}
	for i, want := range req.Identities {
		signed, err := e.signIdentity(r, nodeID, want)
		if err != nil {
			if nomadish.KindOf(err) == nomadish.KindNoLeader {
				return nil, err // none could be signed now
			}
			signed = nomadish.SignedIdentity{Error: err.Error()}
		}
		resp.Identities[i] = signed
	}
	return resp, nil
}

func (e *Endpoint) signIdentity(r state.Reader, nodeID string, want nomadish.IdentityRequest) (none nomadish.SignedIdentity, err error) {
	alloc, err := r.Allocation(nil, want.AllocationID)
	if err != nil {
		return none, err
	}
	if alloc.NodeID != nodeID || alloc.ClientTerminal() {
		return none, nomadish.Errorf(nomadish.KindDenied, "allocation %s does not run on this node", want.AllocationID)
	}
	job, err := r.JobVersion(nil, alloc.Namespace, alloc.JobID, alloc.JobVersion)
	if err != nil {
		return none, err
	}
	group := job.TaskGroup(alloc.TaskGroup)
	if group == nil {
		return none, nomadish.Errorf(nomadish.KindNotFound, "job %q has no group %q", alloc.JobID, alloc.TaskGroup)
	}
	task := group.Task(want.Task)
	if task == nil {
		return none, nomadish.Errorf(nomadish.KindNotFound, "group %q of job %q has no task %q", alloc.TaskGroup, alloc.JobID, want.Task)
	}
	identity := task.WorkloadIdentity(want.Identity)
	if identity == nil {
		return none, nomadish.Errorf(nomadish.KindNotFound, "task %q of job %q has no identity %q", want.Task, alloc.JobID, want.Identity)
	}
	claims := e.identityClaims(alloc, job, want.Task, identity)
	token, err := e.keyring.Sign(claims)
	if err != nil {
		return none, err
	}
	return nomadish.SignedIdentity{JWT: nomadish.SecretText(token), IssuedAt: claims.IssuedAt, Expires: claims.Expires}, nil
}

// identityClaims is what the cluster says of a task.
func (e *Endpoint) identityClaims(alloc *nomadish.Allocation, job *nomadish.Job, task string, identity *nomadish.WorkloadIdentity) *nomadish.IdentityClaims {
	now := e.cfg.Now().Unix()
	claims := &nomadish.IdentityClaims{
		Namespace: alloc.Namespace, JobID: job.IdentityID(), AllocationID: alloc.ID, Task: task,
		Issuer:   e.cfg.Issuer,
		Subject:  nomadish.IdentitySubject(e.cfg.Region, alloc.Namespace, job.IdentityID(), alloc.TaskGroup, task, identity.Name),
		Audience: identity.Audience,
		IssuedAt: now, NotBefore: now, ID: nomadish.NewID(),
	}
	if ttl := int64(identity.TTL.Seconds()); ttl > 0 {
		claims.Expires = now + ttl
	}
	return claims
}
