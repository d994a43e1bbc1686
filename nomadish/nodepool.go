package nomadish

import "strings"

// NodePool is a named set of nodes. A node is in one, and in the pool of all.
type NodePool struct {
	Name                   string                          `hcl:"name,label"`
	Description            string                          `hcl:"description,optional"`
	Meta                   map[string]string               `hcl:"meta,optional"`
	NodeIdentityTTL        TextDuration                    // of the identities of its nodes; 0: the cluster's
	SchedulerConfiguration *NodePoolSchedulerConfiguration `hcl:"scheduler_config,block"`
	CreateIndex            uint64
	ModifyIndex            uint64
}

// NodePoolSchedulerConfiguration replaces parts of the cluster's scheduler configuration in one pool.
type NodePoolSchedulerConfiguration struct {
	SchedulerAlgorithm            string `hcl:"scheduler_algorithm,optional"`
	MemoryOversubscriptionEnabled *bool  `hcl:"memory_oversubscription_enabled,optional"`
}

// BuiltIn says that the pool is always there and nobody changes it.
func (p *NodePool) BuiltIn() bool { return p.Name == NodePoolAll || p.Name == NodePoolDefault }

// Validate says what is wrong with a node pool.
func (p *NodePool) Validate() error {
	if p.Name == "" {
		return Errorf(KindInvalid, "missing node pool name")
	}
	if err := CheckNodePoolName(p.Name); err != nil {
		return err
	}
	var f faults
	f.check(len(p.Description) > maxACLDescription, "Description", "description longer than %d", maxACLDescription)
	f.check(p.NodeIdentityTTL < 0, "NodeIdentityTTL", "node identity TTL %s is negative", p.NodeIdentityTTL)
	validateMeta(&f, p.Meta)
	if c := p.SchedulerConfiguration; c != nil {
		switch c.SchedulerAlgorithm {
		case "", SchedulerBinpack, SchedulerSpread:
		default:
			f.add("SchedulerConfiguration", "invalid scheduler algorithm %.40q: must be %s or %s", c.SchedulerAlgorithm, SchedulerBinpack, SchedulerSpread)
		}
	}
	if len(f.list) == 0 {
		return nil
	}
	texts := make([]string, len(f.list))
	for i, fault := range f.list {
		texts[i] = fault.String()
	}
	return Errorf(KindInvalid, "invalid node pool: %s", strings.Join(texts, "; "))
}

// maxNodePoolName is how long the name of a node pool may be.
const maxNodePoolName = 128

// CheckNodePoolName says what is wrong with the name of a node pool.
func CheckNodePoolName(name string) error {
	allowed := func(r rune) bool {
		return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	if name == "" || len(name) > maxNodePoolName || strings.ContainsFunc(name, func(r rune) bool { return !allowed(r) }) {
		return Errorf(KindInvalid, "node pool %.200q: a name is 1 to %d letters, digits, - and _", name, maxNodePoolName)
	}
	return nil
}
