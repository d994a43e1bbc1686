package endpoint

import (
	"context"
	"maps"
	"strings"

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
	if claims.Extra, err = e.extraClaims(r, alloc, job, want.Task, identity); err != nil {
		return none, err
	}
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

// maxExtra bounds the text of an identity's extra claims.
const maxExtra = 4 << 10

// extraClaims are those that the namespace has its identities bear: who runs a job can ask
// for some, and not say what is in them.
func (e *Endpoint) extraClaims(r state.Reader, alloc *nomadish.Allocation, job *nomadish.Job, task string, identity *nomadish.WorkloadIdentity) (map[string]string, error) {
	ns, err := r.Namespace(nil, alloc.Namespace)
	if err != nil {
		return nil, err
	}
	wanted := maps.Clone(ns.RequiredExtraClaims)
	for _, name := range identity.ExtraClaims {
		_, required := ns.RequiredExtraClaims[name]
		if text, offered := ns.OptionalExtraClaims[name]; offered && !required {
			if wanted == nil {
				wanted = map[string]string{}
			}
			wanted[name] = text
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	values := map[string]string{
		"job.region": e.cfg.Region, "job.namespace": alloc.Namespace, "job.id": job.IdentityID(), "job.node_pool": nomadish.Val(job.NodePool),
		"group.name": alloc.TaskGroup, "task.name": task, "alloc.id": alloc.ID, "node.id": alloc.NodeID,
	}
	for name, value := range job.Meta {
		values["job.meta."+name] = value
	}
	if node, err := r.Node(nil, alloc.NodeID); err == nil {
		values["node.datacenter"], values["node.pool"], values["node.class"] = node.Datacenter, node.NodePool, node.NodeClass
	}
	size := 0
	for name, text := range wanted {
		wanted[name] = fillIn(text, values)
		if size += len(name) + len(wanted[name]); size > maxExtra {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "the extra claims of namespace %q are longer than %d bytes", alloc.Namespace, maxExtra)
		}
	}
	return wanted, nil
}

// fillIn replaces ${name} by its value, once. What has none stays.
func fillIn(text string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		out.WriteString(before)
		if !found || !closed {
			out.WriteString(text[len(before):])
			return out.String()
		}
		if value, known := values[strings.TrimSpace(name)]; known {
			out.WriteString(value)
		} else {
			out.WriteString("${" + name + "}")
		}
		text = after
	}
}
