package endpoint

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Authenticate finds out who makes a request. Without access control, whoever speaks for no
// node and no server may do everything, also through a node that passes a request on.
func (e *Endpoint) Authenticate(ctx context.Context, c nomadish.Credentials) (nomadish.Caller, error) {
	if c.PeerKind == nomadish.CallerServer {
		return nomadish.Caller{Kind: nomadish.CallerServer, ID: c.PeerID, Addr: c.Addr}, nil
	}
	if c.NodeID == "" {
		resolved, err := e.resolveNewest(ctx, c.Token.Reveal())
		if err != nil {
			return nomadish.Caller{}, err
		}
		caller, err := e.compiler.Caller(resolved)
		if err != nil {
			return nomadish.Caller{}, err
		}
		caller.Addr = c.Addr
		return caller, nil
	}
	if c.PeerKind == nomadish.CallerNode && c.PeerID != c.NodeID {
		return nomadish.Caller{}, nomadish.ErrDenied
	}
	// The secret counts even on a node's own connection: it may have been opened by somebody
	// else before the node was known.
	if err := e.CheckNode(c.NodeID, c.NodeSecret.Reveal()); err != nil {
		return nomadish.Caller{}, err
	}
	return nomadish.Caller{Kind: nomadish.CallerNode, ID: c.NodeID, Addr: c.Addr}, nil
}

// CheckNode says whether the secret is that of the node. A node that is not registered is who
// it says: registering binds its ID to its secret.
func (e *Endpoint) CheckNode(id, secret string) error {
	node, err := e.store.Reader().Node(nil, id)
	if err == nil && subtle.ConstantTimeCompare([]byte(node.SecretID), []byte(secret)) != 1 {
		return nomadish.ErrDenied
	}
	return nil
}

// ResolveToken tells a node whom a token makes its bearer. A node that is not registered has
// proved nothing, and is told nothing of policies.
func (e *Endpoint) ResolveToken(ctx context.Context, token string) (*nomadish.ResolvedCaller, error) {
	if e.cfg.ACL.Enabled {
		id := nomadish.CallerFrom(ctx).ID
		if _, err := e.store.Reader().Node(nil, id); err != nil {
			return nil, nomadish.Errorf(nomadish.KindNoLeader, "node %s is not registered yet", id)
		}
	}
	return e.resolveNewest(ctx, token)
}

// resolveNewest is resolve, asked again of the newest state when this server's knows no such
// token.
func (e *Endpoint) resolveNewest(ctx context.Context, token string) (*nomadish.ResolvedCaller, error) {
	resolved, err := e.resolve(token)
	if err == nil || nomadish.KindOf(err) != nomadish.KindDenied || e.cfg.Sync == nil {
		return resolved, err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if e.cfg.Sync(ctx) != nil {
		return nil, err // what is known counts
	}
	return e.resolve(token)
}

// syncTimeout is how long somebody with an unknown token waits for the newest state.
const syncTimeout = 2 * time.Second

// resolve says whom a token makes its bearer: the secret of a token, a workload's identity, or
// nothing. Why a token is not good is nobody's business.
func (e *Endpoint) resolve(token string) (*nomadish.ResolvedCaller, error) {
	r := e.store.Reader()
	switch {
	case !e.cfg.ACL.Enabled:
		return &nomadish.ResolvedCaller{Kind: nomadish.CallerManagement, Open: true}, nil
	case token == "":
		return e.anonymous(r), nil
	case strings.Count(token, ".") == 2: // a JWT; secrets of tokens are UUIDs
		return e.resolveWorkload(r, token)
	}
	row, err := e.findToken(r, token)
	if err != nil {
		return nil, err
	}
	if row == nil || row.Expired(e.cfg.Now()) {
		return nil, nomadish.ErrDenied
	}
	out := &nomadish.ResolvedCaller{Kind: nomadish.CallerToken, ID: row.AccessorID, Name: row.Name}
	if row.ExpirationTime != nil {
		out.Expires = *row.ExpirationTime
	}
	if row.Type == nomadish.ACLTokenManagement {
		out.Kind = nomadish.CallerManagement
		return out, nil
	}
	out.Policies = policiesOf(r, row)
	return out, nil
}

// maxToken is the longest secret or identity that is looked at.
const maxToken = 16 << 10

// findToken returns the token with a secret, or nil.
func (e *Endpoint) findToken(r state.Reader, secret string) (*nomadish.ACLToken, error) {
	if len(secret) > maxToken {
		return nil, nil
	}
	hashes, failed := e.keyring.MACs(nomadish.SecretPurpose, []byte(secret))
	for _, h := range hashes {
		row, err := r.ACLTokenByHash(nil, h.Sum)
		switch {
		case err == nil:
			return row, nil
		case !errors.Is(err, nomadish.ErrNotFound):
			return nil, err
		}
	}
	return nil, failed
}

// anonymous is who shows no token. It has the policy of that name, if there is one.
func (e *Endpoint) anonymous(r state.Reader) *nomadish.ResolvedCaller {
	out := &nomadish.ResolvedCaller{Kind: nomadish.CallerAnonymous}
	if p, err := r.ACLPolicy(nil, anonymousPolicy); err == nil {
		out.Policies = []*nomadish.ACLPolicy{p}
	}
	return out
}

// policiesOf returns the policies of a token and of its roles. What no longer exists gives
// nothing.
func policiesOf(r state.Reader, token *nomadish.ACLToken) (all []*nomadish.ACLPolicy) {
	seen := map[string]bool{}
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if p, err := r.ACLPolicy(nil, name); err == nil {
			all = append(all, p)
		}
	}
	for _, name := range token.Policies {
		add(name)
	}
	for _, link := range token.Roles {
		role, err := r.ACLRole(nil, link.ID)
		if err != nil {
			continue
		}
		for _, p := range role.Policies {
			add(p.Name)
		}
	}
	return all
}

// resolveWorkload recognises a task by its identity, for as long as its allocation runs.
func (e *Endpoint) resolveWorkload(r state.Reader, jwt string) (*nomadish.ResolvedCaller, error) {
	if len(jwt) > maxToken {
		return nil, nomadish.ErrDenied
	}
	claims, err := e.keyring.Verify(jwt)
	if nomadish.KindOf(err) == nomadish.KindNoLeader && err != nil {
		return nil, err
	}
	if err != nil {
		return nil, nomadish.ErrDenied
	}
	a, err := r.Allocation(nil, claims.AllocationID)
	if err != nil || a.Terminal() || a.Namespace != claims.Namespace {
		return nil, nomadish.ErrDenied
	}
	job, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion)
	if err != nil || cmp.Or(nomadish.Val(job.ParentID), a.JobID) != claims.JobID {
		return nil, nomadish.ErrDenied
	}
	group := job.TaskGroup(a.TaskGroup)
	if group == nil || claims.Task != "" && !hasTask(group, claims.Task) {
		return nil, nomadish.ErrDenied
	}
	return &nomadish.ResolvedCaller{
		Kind: nomadish.CallerWorkload, ID: a.ID, Name: claims.Task, Expires: claims.Expiry(),
		Workload: &nomadish.Workload{Namespace: a.Namespace, JobID: claims.JobID, Group: a.TaskGroup, Task: claims.Task},
		Policies: e.workloadPolicies(r, nil, a.ID, claims.Task),
	}, nil
}

func hasTask(group *nomadish.TaskGroup, name string) bool {
	for _, t := range group.Tasks {
		if t.Name == name {
			return true
		}
	}
	return false
}

// may returns ErrDenied unless the caller of a request has a permission in a namespace. The
// routes have asked for it in the namespace that the query names; what counts is the one of
// the object. Without access control there is nothing to ask.
func (e *Endpoint) may(ctx context.Context, p nomadish.Permission, namespace string) error {
	return e.mayName(ctx, p, namespace, "")
}

// mayName is may for what has a name besides, or instead of, a namespace.
func (e *Endpoint) mayName(ctx context.Context, p nomadish.Permission, namespace, name string) error {
	if !e.cfg.ACL.Enabled {
		return nil
	}
	caller := nomadish.CallerFrom(ctx)
	if namespace == "*" && !caller.Management() {
		return nomadish.ErrDenied // that means any, and no object is in any
	}
	return caller.Check(p, namespace, name)
}

// visibleRows lists the rows that the caller of a request has a permission for, each in its own
// namespace.
func visibleRows[T any](ctx context.Context, e *Endpoint, p nomadish.Permission, rows iter.Seq[T], namespace func(T) string) iter.Seq[T] {
	caller := nomadish.CallerFrom(ctx)
	if !e.cfg.ACL.Enabled || caller.Management() {
		return rows
	}
	return where(rows, func(row T) bool { return caller.Allows(p, namespace(row), "") })
}

// maySubmit returns ErrDenied unless the caller may have a job in its namespace, with all that
// the job wants to mount.
func (e *Endpoint) maySubmit(ctx context.Context, p nomadish.Permission, job *nomadish.Job) error {
	namespace := nomadish.Val(job.Namespace)
	if err := e.may(ctx, p, namespace); err != nil {
		return err
	}
	for _, g := range job.TaskGroups {
		for _, v := range g.Volumes {
			switch {
			case v == nil:
			case v.Type == "csi":
				if err := e.may(ctx, nomadish.PermCSIMountVolume, namespace); err != nil {
					return err
				}
			default:
				mount := nomadish.PermMountReadWrite
				if v.ReadOnly {
					mount = nomadish.PermMountReadOnly
				}
				if err := e.mayName(ctx, mount, "", v.Source); err != nil {
					return err
				}
			}
		}
		for _, t := range g.Tasks {
			if t.CSIPluginConfig == nil {
				continue
			}
			if err := e.may(ctx, nomadish.PermCSIRegisterPlugin, namespace); err != nil {
				return err
			}
		}
	}
	return nil
}
