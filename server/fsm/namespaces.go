package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertNamespaces stores namespaces, each in place of the one with its name.
type UpsertNamespaces struct{ Namespaces []*nomadish.Namespace }

// Kind implements Command.
func (*UpsertNamespaces) Kind() Kind { return KindUpsertNamespaces }

// Apply implements Command.
func (c *UpsertNamespaces) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Namespaces, w.PutNamespace)
}

// DeleteNamespaces removes empty namespaces by name: all, or none if one does not exist or
// something is in it.
type DeleteNamespaces struct{ Names []string }

// Kind implements Command.
func (*DeleteNamespaces) Kind() Kind { return KindDeleteNamespaces }

// Apply implements Command.
func (c *DeleteNamespaces) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.Names, w.DeleteNamespace)
}

// UpsertQuotas stores quotas, each in place of the one with its name.
type UpsertQuotas struct{ Quotas []*nomadish.QuotaSpec }

// Kind implements Command.
func (*UpsertQuotas) Kind() Kind { return KindUpsertQuotas }

// Apply implements Command.
func (c *UpsertQuotas) Apply(w *state.Writer) (any, error) { return nil, each(c.Quotas, w.PutQuota) }

// DeleteQuotas removes quotas that no namespace has, by name: all of them or none.
type DeleteQuotas struct{ Names []string }

// Kind implements Command.
func (*DeleteQuotas) Kind() Kind { return KindDeleteQuotas }

// Apply implements Command.
func (c *DeleteQuotas) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.Names, w.DeleteQuota)
}
