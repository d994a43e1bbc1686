package events

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// aclShape says what a change of access control is. Rows hold no secret that JSON would show.
func aclShape(c state.Change) shape {
	switch c.Table {
	case state.TableACLPolicies:
		return named(c, nomadish.TopicACLPolicy, nomadish.EventACLPolicyUpserted, nomadish.EventACLPolicyDeleted,
			func(p *nomadish.ACLPolicy) []string { return []string{p.Name} })
	case state.TableACLRoles:
		return named(c, nomadish.TopicACLRole, nomadish.EventACLRoleUpserted, nomadish.EventACLRoleDeleted,
			func(r *nomadish.ACLRole) []string { return []string{r.ID, r.Name} })
	case state.TableACLTokens:
		return named(c, nomadish.TopicACLToken, nomadish.EventACLTokenUpserted, nomadish.EventACLTokenDeleted,
			func(t *nomadish.ACLToken) []string { return []string{t.AccessorID} })
	case state.TableACLAuthMethods:
		return named(c, nomadish.TopicACLAuthMethod, nomadish.EventACLAuthMethodUpserted, nomadish.EventACLAuthMethodDeleted,
			func(m *nomadish.ACLAuthMethod) []string { return []string{m.Name} })
	default:
		return named(c, nomadish.TopicACLBindingRule, nomadish.EventACLBindingRuleUpserted, nomadish.EventACLBindingRuleDeleted,
			func(b *nomadish.ACLBindingRule) []string { return []string{b.ID, b.AuthMethod} })
	}
}

// named is the shape of a row that is either stored or deleted. Its names are its key, and
// what else it may be asked for by.
func named[T any](c state.Change, topic, stored, deleted string, names func(*T) []string) shape {
	before, after := pair[T](c)
	row, kind := after, stored
	if after == nil {
		row, kind = before, deleted
	}
	all := names(row)
	return shape{topic: topic, kind: kind, key: all[0], filter: all[1:], payload: row}
}
