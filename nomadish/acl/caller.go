package acl

import (
	"slices"
	"sync"

	"github.com/nomadish/nomadish/nomadish"
)

// Compiler makes callers of what is known of them. It keeps what it compiled for as long as
// the policies are the same, so that asking again costs little. It is safe for concurrent use.
type Compiler struct {
	mu   sync.Mutex
	kept map[string]*compilation
}

// maxKept bounds how many callers' compiled policies are kept.
const maxKept = 4096

type compilation struct {
	policies []*nomadish.ACLPolicy
	acl      *ACL
}

// Caller returns the caller with its rights. Policies are known by their addresses: whoever
// changes one makes another.
func (c *Compiler) Caller(r *nomadish.ResolvedCaller) (nomadish.Caller, error) {
	caller := nomadish.Caller{Kind: r.Kind, ID: r.ID, Name: r.Name, Expires: r.Expires}
	if r.Open || r.Kind == nomadish.CallerManagement || r.Kind == nomadish.CallerAnonymous && len(r.Policies) == 0 {
		return caller, nil
	}
	a, err := c.compile(r.Kind.String()+"/"+r.ID+"/"+r.Name, r.Policies)
	if err != nil {
		return nomadish.Caller{}, err
	}
	caller.Rights = a
	if r.Workload != nil {
		caller.Rights = newWorkload(a, *r.Workload)
	}
	return caller, nil
}

func (c *Compiler) compile(key string, policies []*nomadish.ACLPolicy) (*ACL, error) {
	c.mu.Lock()
	known := c.kept[key]
	c.mu.Unlock()
	if known != nil && slices.Equal(known.policies, policies) {
		return known.acl, nil
	}
	parsed := make([]*Policy, len(policies))
	for i, p := range policies {
		var err error
		if parsed[i], err = Parse(p.Rules); err != nil {
			return nil, nomadish.Errorf(nomadish.KindInternal, "policy %q can't be read, so nobody who has it is let in: %w", p.Name, err)
		}
	}
	a := Compile(parsed...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxKept {
		c.kept = map[string]*compilation{}
	}
	c.kept[key] = &compilation{policies, a}
	return a, nil
}

// workload has what its policies give, and what every workload has in its own namespace: it
// reads services, and the variables at its job's, group's and task's paths. These are compared
// as they are written, whatever characters the names have. What a policy denies it has not.
type workload struct {
	*ACL
	namespace string
	paths     []string
}

// variablesRoot is where the variables of jobs are.
const variablesRoot = "nomad/jobs"

func newWorkload(a *ACL, w nomadish.Workload) *workload {
	out := &workload{ACL: a, namespace: w.Namespace, paths: []string{variablesRoot}}
	path := variablesRoot
	for _, name := range []string{w.JobID, w.Group, w.Task} {
		if name == "" {
			break
		}
		path += "/" + name
		out.paths = append(out.paths, path)
	}
	return out
}

// Allows says whether a permission is given.
func (w *workload) Allows(p nomadish.Permission, namespace, name string) bool {
	if w.ACL.Allows(p, namespace, name) {
		return true
	}
	if namespace != w.namespace && namespace != "*" || w.Denies(p, w.namespace, name) {
		return false
	}
	switch p {
	case nomadish.PermReadServices:
		return true
	case nomadish.PermVariablesRead, nomadish.PermVariablesList:
		return name == "" || slices.Contains(w.paths, name)
	}
	return false
}
