package nomadish

import (
	"strings"
	"time"
)

// NodePool is a named set of nodes. A node is in one, and in the pool of all.
type NodePool struct {
	Name                   string
	Description            string
	Meta                   map[string]string
	NodeIdentityTTL        time.Duration
	SchedulerConfiguration *NodePoolSchedulerConfiguration
	CreateIndex            uint64
	ModifyIndex            uint64
}

// NodePoolSchedulerConfiguration replaces parts of the cluster's scheduler configuration in one pool.
type NodePoolSchedulerConfiguration struct {
	SchedulerAlgorithm            string
	MemoryOversubscriptionEnabled *bool
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
