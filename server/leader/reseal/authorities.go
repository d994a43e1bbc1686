package reseal

import (
	"fmt"
	"iter"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Authorities are the keys of the cluster's certificate authorities.
func Authorities(store *state.Store, sealer Sealer) Rows {
	return func(keyID string) iter.Seq2[fsm.Command, error] {
		return func(yield func(fsm.Command, error) bool) {
			for a := range store.Reader().Authorities(nil) {
				if a.Key.KeyID != keyID {
					continue
				}
				key, err := again(sealer, a.Key, a.SealedBinding())
				if err != nil {
					err = fmt.Errorf("authority %s: %w", a.ID, err)
					if !yield(nil, err) {
						return
					}
					continue
				}
				next := &nomadish.Authority{ID: a.ID, Certificate: a.Certificate, Key: *key, ModifyIndex: a.ModifyIndex}
				if !yield(&fsm.PutAuthority{Authority: next}, nil) {
					return
				}
			}
		}
	}
}
