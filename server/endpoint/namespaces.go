package endpoint

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// UpsertNamespace stores a namespace.
func (e *Endpoint) UpsertNamespace(ctx context.Context, ns *nomadish.Namespace) (uint64, error) {
	if !nomadish.CallerFrom(ctx).Management() {
		return 0, nomadish.ErrDenied
	}
	if err := ns.Validate(); err != nil {
		return 0, err
	}
	if _, err := e.store.Reader().NodePool(nil, ns.DefaultNodePool()); err != nil {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "invalid namespace: node pool configuration: default node pool %q does not exist", ns.DefaultNodePool())
	}
	_, index, err := propose[any](ctx, e, &fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{ns}})
	return index, err
}

// DeleteNamespace removes a namespace in which nothing lives.
func (e *Endpoint) DeleteNamespace(ctx context.Context, name string) (uint64, error) {
	if !nomadish.CallerFrom(ctx).Management() {
		return 0, nomadish.ErrDenied
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteNamespaces{Names: []string{name}})
	_, err = found(name, err, "Namespace not found")
	return index, err
}
