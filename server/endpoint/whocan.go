package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
	"github.com/nomadish/nomadish/server/state"
)

// maxHolders bounds how many tokens WhoCan lists.
const maxHolders = 10_000

// WhoCan says who has a permission: by which policies, roles and tokens.
func (e *Endpoint) WhoCan(ctx context.Context, p nomadish.Permission, namespace, name string) (*nomadish.AccessHolders, error) {
	out := &nomadish.AccessHolders{
		Permission: p, Namespace: namespace, Name: name, Open: !e.cfg.ACL.Enabled,
		Policies: []nomadish.AccessPolicy{}, Roles: []nomadish.AccessRole{}, Tokens: []nomadish.AccessToken{}, Workloads: []nomadish.AccessWorkloadRule{},
	}
	if out.Open {
		return out, nil
	}
	s := &survey{r: e.store.Reader(), p: p, namespace: namespace, name: name, parsed: map[string]*acl.Policy{}, gives: map[string]bool{}, sets: map[string]bool{}}
	for policy := range s.r.ACLPolicies(nil, "") {
		gives, denies, err := s.policy(policy)
		if err != nil {
			return nil, err
		}
		if gives || denies {
			out.Policies = append(out.Policies, nomadish.AccessPolicy{Name: policy.Name, Denies: denies})
		}
		if gives && policy.JobACL != nil {
			out.Workloads = append(out.Workloads, nomadish.AccessWorkloadRule{Policy: policy.Name, JobACL: policy.JobACL})
		}
	}
	out.Anonymous = s.gives[anonymousPolicy]
	roles, err := s.r.ACLRoles(nil, "")
	if err != nil {
		return nil, err
	}
	for role := range roles {
		names := make([]string, len(role.Policies))
		for i, link := range role.Policies {
			names[i] = link.Name
		}
		if s.allows(names) {
			out.Roles = append(out.Roles, nomadish.AccessRole{ID: role.ID, Name: role.Name, Policies: s.giving(names)})
		}
	}
	return out, e.tokensThatCan(ctx, s, out)
}

// tokensThatCan adds the tokens that have the permission.
func (e *Endpoint) tokensThatCan(ctx context.Context, s *survey, out *nomadish.AccessHolders) error {
	tokens, err := s.r.ACLTokens(nil, "")
	if err != nil {
		return err
	}
	now := e.cfg.Now()
	for t := range tokens {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		holder := nomadish.AccessToken{AccessorID: t.AccessorID, Name: t.Name, Type: t.Type}
		if t.Type != nomadish.ACLTokenManagement {
			var names []string
			for _, p := range policiesOf(s.r, t) {
				names = append(names, p.Name)
			}
			if !s.allows(names) {
				continue
			}
			holder.Policies = s.giving(names)
		}
		if t.Expired(now) {
			continue
		}
		if len(out.Tokens) == maxHolders {
			out.Truncated = true
			return nil
		}
		out.Tokens = append(out.Tokens, holder)
	}
	return nil
}

// survey asks many sets of policies for one permission.
type survey struct {
	r               state.Reader
	p               nomadish.Permission
	namespace, name string

	parsed map[string]*acl.Policy
	gives  map[string]bool // alone, by name of the policy
	sets   map[string]bool // together, by the names
}

// policy says what a policy alone says of the permission.
func (s *survey) policy(p *nomadish.ACLPolicy) (gives, denies bool, err error) {
	parsed, err := acl.Parse(p.Rules)
	if err != nil {
		return false, false, nomadish.Errorf(nomadish.KindInternal, "policy %q can't be read: %w", p.Name, err)
	}
	s.parsed[p.Name] = parsed
	a := acl.Compile(parsed)
	s.gives[p.Name] = a.Allows(s.p, s.namespace, s.name)
	return s.gives[p.Name], a.Denies(s.p, s.namespace, s.name), nil
}

// allows says whether policies together give the permission.
func (s *survey) allows(names []string) bool {
	key := strings.Join(names, "\x00")
	known, ok := s.sets[key]
	if !ok {
		var all []*acl.Policy
		for _, n := range names {
			if p := s.parsed[n]; p != nil {
				all = append(all, p)
			}
		}
		known = acl.Compile(all...).Allows(s.p, s.namespace, s.name)
		s.sets[key] = known
	}
	return known
}

// giving returns those of the policies that give the permission.
func (s *survey) giving(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !s.gives[n] })
}
