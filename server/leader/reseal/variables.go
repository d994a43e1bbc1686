package reseal

import (
	"fmt"
	"iter"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Bounds of a batch. A command is at most fsm.MaxEntry long; content that is sealed can't be
// compressed.
const (
	batchRows  = 256
	batchBytes = 256 << 10
)

// Sealer encrypts with the active root key, and decrypts.
type Sealer interface {
	Seal(plain, bound []byte) (nomadish.Sealed, error)
	Open(s nomadish.Sealed, bound []byte) ([]byte, error)
}

// Variables are the variables of the state.
func Variables(store *state.Store, sealer Sealer) Rows {
	return func(keyID string) iter.Seq2[fsm.Command, error] {
		return func(yield func(fsm.Command, error) bool) {
			from := nomadish.VariableName{}
			for more := true; more; {
				batch, next, errs := variables(store.Reader(), sealer, keyID, from)
				for _, err := range errs {
					if !yield(nil, err) {
						return
					}
				}
				if len(batch.Rows) > 0 && !yield(batch, nil) {
					return
				}
				more, from = next != (nomadish.VariableName{}), next
			}
		}
	}
}

// variables seals a batch of variables anew, from a place in the list on. It returns where
// the next batch begins; nowhere: this was the last.
func variables(r state.Reader, sealer Sealer, keyID string, from nomadish.VariableName) (batch *fsm.ResealVariables, next nomadish.VariableName, errs []error) {
	batch = &fsm.ResealVariables{}
	size := 0
	for v := range r.Variables(nil, state.AnyNamespace, "", from) {
		if v.Items == nil || v.Items.KeyID != keyID {
			continue
		}
		if size >= batchBytes || len(batch.Rows)+len(errs) >= batchRows {
			return batch, v.Name(), errs
		}
		items, err := again(sealer, *v.Items, v.Bound())
		if err != nil {
			errs = append(errs, fmt.Errorf("variable %q of namespace %q: %w", v.Path, v.Namespace, err))
			continue
		}
		batch.Rows = append(batch.Rows, fsm.ResealedVariable{Namespace: v.Namespace, Path: v.Path, ModifyIndex: v.ModifyIndex, Items: items})
		size += len(items.Data)
	}
	return batch, nomadish.VariableName{}, errs
}

// again seals content anew, bound to the same.
func again(sealer Sealer, old nomadish.Sealed, bound []byte) (*nomadish.Sealed, error) {
	plain, err := sealer.Open(old, bound)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	sealed, err := sealer.Seal(plain, bound)
	return &sealed, err
}
