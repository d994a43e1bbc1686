package nomadish

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Namespace keeps jobs apart: their names, and who may see and change them.
type Namespace struct {
	Name                  string                 `hcl:"name,optional"`
	Description           string                 `hcl:"description,optional"`
	Quota                 string                 `hcl:"quota,optional"`
	Capabilities          *NamespaceCapabilities `hcl:"capabilities,block"`
	NodePoolConfiguration *NamespaceNodePools    `hcl:"node_pool_config,block"`
	Meta                  map[string]string      `hcl:"meta,optional"`
	CreateIndex           uint64
	ModifyIndex           uint64

	// Claims that the identities of the namespace's workloads have besides those of all: the
	// required ones always, the optional ones where a job asks for them. Their values may
	// refer to the workload, as in ${job.meta.team}.
	RequiredExtraClaims map[string]string `hcl:"required_extra_claims,optional"`
	OptionalExtraClaims map[string]string `hcl:"optional_extra_claims,optional"`
}

// NamespaceCapabilities says which task drivers and network modes a namespace's jobs may
// use. An empty list of enabled ones enables all.
type NamespaceCapabilities struct {
	EnabledTaskDrivers   []string `hcl:"enabled_task_drivers,optional"`
	DisabledTaskDrivers  []string `hcl:"disabled_task_drivers,optional"`
	EnabledNetworkModes  []string `hcl:"enabled_network_modes,optional"`
	DisabledNetworkModes []string `hcl:"disabled_network_modes,optional"`
}

// NamespaceNodePools says in which node pools a namespace's jobs may run.
type NamespaceNodePools struct {
	Default string   `hcl:"default,optional"`
	Allowed []string `hcl:"allowed,optional"`
	Denied  []string `hcl:"denied,optional"`
}

// Validate says what is wrong with a namespace.
func (n *Namespace) Validate() error {
	var f faults
	if checkACLName("name", n.Name) != nil {
		f.add("Name", "invalid name %.200q. Must match regex ^[a-zA-Z0-9-]{1,128}$", n.Name)
	}
	f.check(len(n.Description) > maxACLDescription, "Description", "description longer than %d", maxACLDescription)
	validateMeta(&f, n.Meta)
	validateClaims(&f, "RequiredExtraClaims", n.RequiredExtraClaims)
	validateClaims(&f, "OptionalExtraClaims", n.OptionalExtraClaims)
	if c := n.Capabilities; c != nil {
		for _, l := range [][]string{c.EnabledTaskDrivers, c.DisabledTaskDrivers, c.EnabledNetworkModes, c.DisabledNetworkModes} {
			f.check(len(l) > maxNamespaceRules, "Capabilities", "capabilities: %d names, more than the limit of %d", len(l), maxNamespaceRules)
		}
	}
	if p := n.NodePoolConfiguration; p != nil {
		p.validate(&f)
	}
	if len(f.list) == 0 {
		return nil
	}
	texts := make([]string, len(f.list))
	for i, fault := range f.list {
		texts[i] = fault.String()
	}
	return Errorf(KindInvalid, "invalid namespace: %s", strings.Join(texts, "; "))
}

// Bounds of extra claims: a token is sent with each request.
const (
	maxExtraClaims = 32
	maxExtraClaim  = 512 // bytes of a name and its value, before anything is filled in
)

func validateClaims(f *faults, field string, claims map[string]string) {
	f.check(len(claims) > maxExtraClaims, field, "%d extra claims, more than the limit of %d", len(claims), maxExtraClaims)
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		f.check(name == "", field, "an extra claim has no name")
		f.check(len(name)+len(claims[name]) > maxExtraClaim, field, "extra claim %.64q is longer than %d bytes", name, maxExtraClaim)
	}
}

// maxNamespaceRules is how many names one rule of a namespace may have.
const maxNamespaceRules = 1000

func (p *NamespaceNodePools) validate(f *faults) {
	const field = "NodePoolConfiguration"
	f.check(p.Allowed != nil && len(p.Denied) > 0, field, "node pool configuration: allowed and denied exclude each other")
	f.check(len(p.Allowed)+len(p.Denied) > maxNamespaceRules, field, "node pool configuration: more than %d names", maxNamespaceRules)
	if p.Default != "" {
		f.check(CheckNodePoolName(p.Default) != nil, field, "node pool configuration: invalid default node pool %.200q", p.Default)
		f.check(p.Default == NodePoolAll, field, "node pool configuration: %q can't be the default", NodePoolAll)
	}
	for _, name := range append(slices.Clone(p.Allowed), p.Denied...) {
		plain := strings.ReplaceAll(name, "*", "x")
		f.check(CheckNodePoolName(plain) != nil, field, "node pool configuration: invalid node pool %.200q", name)
	}
	f.check(matchesAny(p.Denied, p.defaultPool()), field, "node pool configuration: the default node pool %q is denied", p.defaultPool())
}

// defaultPool is the node pool of jobs that name none.
func (p *NamespaceNodePools) defaultPool() string {
	if p == nil || p.Default == "" {
		return NodePoolDefault
	}
	return p.Default
}

// DefaultNodePool is the node pool of the namespace's jobs that name none.
func (n *Namespace) DefaultNodePool() string { return n.NodePoolConfiguration.defaultPool() }

// allows says whether a job may run in a node pool. The default one is always allowed.
func (p *NamespaceNodePools) allows(pool string) bool {
	switch {
	case p == nil || pool == p.defaultPool():
		return true
	case p.Allowed != nil:
		return matchesAny(p.Allowed, pool)
	}
	return !matchesAny(p.Denied, pool)
}

// matchesAny says whether a name is one of the patterns, in which * stands for any text.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// Check says what of an admitted job the namespace does not allow, as a *ValidationError.
func (n *Namespace) Check(j *Job) error {
	var f faults
	n.validateJob(j, &f)
	if len(f.list) == 0 {
		return nil
	}
	return &ValidationError{Faults: f.list}
}

func (n *Namespace) validateJob(j *Job, f *faults) {
	pool := Val(j.NodePool)
	f.check(!n.NodePoolConfiguration.allows(pool), "NodePool", "job %q uses node pool %q, which namespace %q does not allow", Val(j.ID), pool, n.Name)
	c := n.Capabilities
	if c == nil {
		return
	}
	for gi, g := range j.TaskGroups {
		for ni, net := range g.Networks {
			mode := cmp.Or(net.Mode, networkModeHost)
			field := fmt.Sprintf("TaskGroups[%d].Networks[%d].Mode", gi, ni)
			f.check(!enabled(mode, c.EnabledNetworkModes, c.DisabledNetworkModes), field,
				"group %q uses network mode %q, which namespace %q does not allow", Val(g.Name), mode, n.Name)
		}
		for ti, t := range g.Tasks {
			field := fmt.Sprintf("TaskGroups[%d].Tasks[%d].Driver", gi, ti)
			f.check(!enabled(t.Driver, c.EnabledTaskDrivers, c.DisabledTaskDrivers), field,
				"task %q uses driver %q, which namespace %q does not allow", t.Name, t.Driver, n.Name)
		}
	}
}

// enabled says whether a name may be used: it is not disabled, and among the enabled ones if
// there are any.
func enabled(name string, on, off []string) bool {
	return !slices.Contains(off, name) && (len(on) == 0 || slices.Contains(on, name))
}
