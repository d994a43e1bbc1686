package nomadish

import (
	"encoding/json"
	"time"
)

// The kinds of things that all regions share. The authoritative region changes them, and the others
// replicate them from there.
const (
	SharedQuotas       = "quotas"
	SharedNodePools    = "node-pools"
	SharedNamespaces   = "namespaces"
	SharedPolicies     = "acl-policies"
	SharedRoles        = "acl-roles"
	SharedAuthMethods  = "acl-auth-methods"
	SharedBindingRules = "acl-binding-rules"
	SharedTokens       = "acl-tokens" // global ones
)

// SharedQuery asks the authoritative region for rows of one kind.
type SharedQuery struct {
	Kind  string
	Index uint64        // of the last answer: what changed since is asked for, and waited for
	Wait  time.Duration // at most
	From  uint64        // index of an answer that had More: what follows it is asked for
	Known int           // rows that the asker has by the last answer; -1: the keys of all are asked for
}

// SharedRows is what has changed of the rows of one kind, in the order in which it did.
type SharedRows struct {
	Index uint64 // up to which Rows holds all changes
	More  bool   // there are changes after Index already
	Total int    // how many rows there are
	Keys  []string
	Rows  []SharedRow
}

// SharedRow is a row as the authoritative region has it. What is sealed there goes in the clear to
// who may see it: keyrings of regions differ.
type SharedRow struct {
	Row    json.RawMessage
	Secret SecretText `json:",omitempty"`
}

// Replication tells how a region replicates what all regions share.
type Replication struct {
	Region        string
	Authoritative string             // the same where there is nothing to replicate
	Kinds         []*ReplicationKind // each after those that it needs
}

// ReplicationKind tells how the replication of one kind goes.
type ReplicationKind struct {
	Kind        string
	Rows        int       // in the authoritative region
	Index       uint64    // in the authoritative region, up to which all is here
	LastSuccess time.Time // when the authoritative region last answered and all it said was here
	LastError   string    `json:",omitempty"` // since then
	Kept        []string  `json:",omitempty"` // what is gone there and still in use here
}
