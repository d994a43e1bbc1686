package replicate

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// kind is what a loop knows of what it replicates.
type kind interface {
	name() string
	// put returns a command that stores the rows that differ from what is here; nil: none does.
	put(r state.Reader, rows []nomadish.SharedRow) (fsm.Command, error)
	// surplus lists what is here and not among keys.
	surplus(r state.Reader, keys []string) ([]string, error)
	remove(keys []string) fsm.Command
}

// rowsOf replicates rows of one type.
type rowsOf[T any] struct {
	called string
	key    func(*T) string
	find   func(r state.Reader, key string) (*T, error)
	all    func(r state.Reader) (iter.Seq[*T], error) // that are not this region's own
	upsert func([]*T) fsm.Command
	delete func([]string) fsm.Command

	indexes func(*T) (create, modify *uint64)
	chosen  func(*T) *time.Time // what the state chooses of a row besides; nil: nothing
	// refuse says why a row can't be stored in place of the one here, nil for none; nil: it always can.
	refuse func(row, here *T) error

	open func(*T) (string, error) // the secret of a row here; nil: rows have none
	seal func(*T, string) error   // with this region's keys
}

func (k *rowsOf[T]) name() string { return k.called }

func (k *rowsOf[T]) remove(keys []string) fsm.Command { return k.delete(keys) }

func (k *rowsOf[T]) put(r state.Reader, rows []nomadish.SharedRow) (fsm.Command, error) {
	var changed []*T
	for _, shared := range rows {
		row := new(T)
		if err := nomadish.DecodeJSON(shared.Row, row); err != nil {
			return nil, fmt.Errorf("row: %w", err)
		}
		differs, err := k.prepare(r, row, shared.Secret.Reveal())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.key(row), err)
		}
		if differs {
			changed = append(changed, row)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return k.upsert(changed), nil
}

// prepare makes a row of the authoritative region one of this region, and says whether it differs
// from what is here.
func (k *rowsOf[T]) prepare(r state.Reader, row *T, secret string) (bool, error) {
	here, err := k.find(r, k.key(row))
	if errors.Is(err, nomadish.ErrNotFound) {
		here, err = nil, nil
	}
	if err != nil {
		return false, err
	}
	if here != nil {
		same, err := k.same(row, here, secret)
		if err != nil || same {
			return false, err
		}
	}
	if k.refuse != nil {
		if err := k.refuse(row, here); err != nil {
			return false, err
		}
	}
	create, modify := k.indexes(row)
	if *create, *modify = 0, 0; here != nil {
		_, at := k.indexes(here)
		*modify = *at // a command says what it replaces
	}
	if k.seal == nil {
		return true, nil
	}
	return true, k.seal(row, secret)
}

// same says whether a row is as it is here.
func (k *rowsOf[T]) same(row, here *T, secret string) (bool, error) {
	if k.open != nil {
		is, err := k.open(here)
		if err != nil || is != secret {
			return false, nil // what can't be opened is sealed anew
		}
	}
	one, err := k.bare(row)
	if err != nil {
		return false, err
	}
	other, err := k.bare(here)
	return bytes.Equal(one, other), err
}

// bare shows a row without what it differs by from region to region.
func (k *rowsOf[T]) bare(row *T) ([]byte, error) {
	v := *row
	create, modify := k.indexes(&v)
	*create, *modify = 0, 0
	if k.chosen != nil {
		*k.chosen(&v) = time.Time{}
	}
	return nomadish.EncodeJSON(&v)
}

func (k *rowsOf[T]) surplus(r state.Reader, keys []string) ([]string, error) {
	wanted := make(map[string]bool, len(keys))
	for _, key := range keys {
		wanted[key] = true
	}
	rows, err := k.all(r)
	if err != nil {
		return nil, err
	}
	var gone []string
	for row := range rows {
		if key := k.key(row); !wanted[key] {
			gone = append(gone, key)
		}
	}
	return gone, nil
}
