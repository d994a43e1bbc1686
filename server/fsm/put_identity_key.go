package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// PutIdentityKey publishes a key that signs workload identities.
type PutIdentityKey struct{ Key *nomadish.IdentityKey }

// Kind implements Command.
func (*PutIdentityKey) Kind() Kind { return KindPutIdentityKey }

// Apply implements Command.
func (c *PutIdentityKey) Apply(w *state.Writer) (any, error) {
	if c.Key == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no key to publish")
	}
	return nil, w.PutIdentityKey(c.Key)
}
