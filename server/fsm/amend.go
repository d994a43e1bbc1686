package fsm

import (
	"time"

	"github.com/nomadish/nomadish/server/state"
)

// Amend applies a command to a state that is in no log yet, such as one that is to be restored, at its own
// index and time.
func Amend(store *state.Store, c Command) error {
	txn := store.Begin()
	defer txn.Abort() // does nothing after a commit
	w, err := txn.Writer(store.Reader().Index(), time.Time{})
	if err != nil {
		return err
	}
	if _, err := c.Apply(w); err != nil {
		return err
	}
	if err := w.Finish(); err != nil {
		return err
	}
	return txn.Commit()
}
