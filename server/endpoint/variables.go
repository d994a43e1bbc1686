package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Sealer encrypts what the state must not show.
type Sealer interface {
	// Seal encrypts; only who gives the same bound data opens it again.
	Seal(plain, bound []byte) (nomadish.Sealed, error)
	Open(s nomadish.Sealed, bound []byte) ([]byte, error)
}

// LockTimers knows when locks end that nobody renews.
type LockTimers interface {
	// Renew gives a lock its whole time again. KindConflict: it is ending. KindNoLeader: this
	// server does not lead.
	Renew(v *nomadish.SealedVariable) error
}

// Variables implements what the HTTP API offers of variables and their locks. Every method
// checks the caller's permission on the namespace and path that it is about.
type Variables struct {
	store   *state.Store
	raft    Proposer
	keyring Sealer
	timers  LockTimers
}

// NewVariables returns the variables of a server.
func NewVariables(store *state.Store, raft Proposer, keyring Sealer, timers LockTimers) *Variables {
	return &Variables{store: store, raft: raft, keyring: keyring, timers: timers}
}

// sealAttempts is how often a write is tried whose variable others keep changing.
const sealAttempts = 32

// List lists the variables that the caller may list, by namespace and path, from a place in
// the list on.
func (v *Variables) List(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, from nomadish.VariableName) (iter.Seq[*nomadish.VariableMetadata], uint64, error) {
	r, caller := v.store.Reader(), nomadish.CallerFrom(ctx)
	rows := r.Variables(ws, namespace, prefix, from)
	if !caller.Management() {
		rows = where(rows, func(row *nomadish.SealedVariable) bool {
			return caller.Allows(nomadish.PermVariablesList, row.Namespace, row.Path)
		})
	}
	shown := mapped(rows, func(row *nomadish.SealedVariable) *nomadish.VariableMetadata { return visible(caller, row) })
	return shown, r.TableIndex(state.TableVariables), nil
}

// visible is what a caller sees of a variable without its items. The lock's ID is the
// holder's proof of being that.
func visible(caller nomadish.Caller, row *nomadish.SealedVariable) *nomadish.VariableMetadata {
	if row.Lock == nil || caller.Management() {
		return &row.VariableMetadata
	}
	m := row.VariableMetadata
	lock := *row.Lock
	lock.ID = ""
	m.Lock = &lock
	return &m
}

// Read returns a variable.
func (v *Variables) Read(ctx context.Context, ws memdb.WatchSet, namespace, path string) (*nomadish.Variable, uint64, error) {
	caller := nomadish.CallerFrom(ctx)
	if err := allowed(caller, nomadish.PermVariablesRead, namespace, path); err != nil {
		return nil, 0, err
	}
	r := v.store.Reader()
	row, err := r.Variable(ws, namespace, path)
	if row, err = found(row, err, "variable not found"); err != nil {
		return nil, r.TableIndex(state.TableVariables), err
	}
	out, err := v.open(row)
	if err != nil {
		return nil, 0, err
	}
	out.VariableMetadata = *visible(caller, row)
	return out, row.ModifyIndex, nil
}

func allowed(caller nomadish.Caller, p nomadish.Permission, namespace, path string) error {
	if caller.Allows(p, namespace, path) {
		return nil
	}
	return nomadish.Errorf(nomadish.KindDenied, "Permission denied")
}

// Set stores a variable, with check only if that is its ModifyIndex; 0 means that it must not
// exist. What it returns is the variable as it was stored. The error may be a
// *nomadish.VariableConflict.
func (v *Variables) Set(ctx context.Context, want *nomadish.Variable, check *uint64) (*nomadish.Variable, uint64, error) {
	if err := admitVariable(ctx, want, nomadish.PermVariablesWrite); err != nil {
		return nil, 0, err
	}
	if len(want.Items) == 0 {
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "variable missing required Items object")
	}
	command := &fsm.SetVariable{Namespace: want.Namespace, Path: want.Path, CheckIndex: check}
	if want.Lock != nil {
		command.LockID = want.Lock.ID
		if err := v.sameLock(want); err != nil {
			return nil, 0, err
		}
	}
	return v.write(ctx, want, func(items *nomadish.Sealed, base uint64) fsm.Command {
		command.Items, command.Base = items, base
		return command
	})
}

// sameLock refuses other times for a lock that is held: they are those it was acquired with.
func (v *Variables) sameLock(want *nomadish.Variable) error {
	row, err := v.store.Reader().Variable(nil, want.Namespace, want.Path)
	if err != nil || !row.Holds(want.Lock.ID) {
		return nil // the command will say so
	}
	asked := nomadish.VariableLock{TTL: cmp.Or(want.Lock.TTL, row.Lock.TTL), LockDelay: cmp.Or(want.Lock.LockDelay, row.Lock.LockDelay)}
	if err := asked.Admit(); err != nil {
		return err
	}
	if asked.TTL != row.Lock.TTL || asked.LockDelay != row.Lock.LockDelay {
		return nomadish.Errorf(nomadish.KindInvalid, "Lock: TTL and LockDelay can't change while the lock is held")
	}
	return nil
}

// admitVariable checks what a caller wants to write, and that it may.
func admitVariable(ctx context.Context, want *nomadish.Variable, p nomadish.Permission) error {
	want.Namespace = cmp.Or(want.Namespace, nomadish.DefaultNamespace)
	if err := allowed(nomadish.CallerFrom(ctx), p, want.Namespace, want.Path); err != nil {
		return err
	}
	return want.Validate()
}

// Delete removes a variable that is not locked; the caller's check is as with Set.
func (v *Variables) Delete(ctx context.Context, namespace, path string, check *uint64) (uint64, error) {
	if err := allowed(nomadish.CallerFrom(ctx), nomadish.PermVariablesDestroy, namespace, path); err != nil {
		return 0, err
	}
	done, index, err := v.propose(ctx, &fsm.DeleteVariable{Namespace: namespace, Path: path, CheckIndex: check})
	if err != nil {
		return 0, err
	}
	return index, v.refused(ctx, done, namespace, path)
}

// Acquire locks a variable for the caller, and makes it if it is not there. Items, if there
// are any, replace those of the variable.
func (v *Variables) Acquire(ctx context.Context, want *nomadish.Variable) (*nomadish.Variable, uint64, error) {
	if err := admitVariable(ctx, want, nomadish.PermVariablesWrite); err != nil {
		return nil, 0, err
	}
	lock := nomadish.VariableLock{ID: nomadish.NewID()}
	if want.Lock != nil {
		lock.TTL, lock.LockDelay = want.Lock.TTL, want.Lock.LockDelay
	}
	if err := lock.Admit(); err != nil {
		return nil, 0, err
	}
	command := &fsm.AcquireLock{Namespace: want.Namespace, Path: want.Path, Lock: &lock}
	return v.write(ctx, want, func(items *nomadish.Sealed, base uint64) fsm.Command {
		command.Items, command.Base = items, base
		return command
	})
}

// Release ends the lock whose ID the caller gives. The answer has no items.
func (v *Variables) Release(ctx context.Context, want *nomadish.Variable) (*nomadish.Variable, uint64, error) {
	if err := admitHolder(ctx, want); err != nil {
		return nil, 0, err
	}
	if len(want.Items) > 0 {
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "releasing a lock does not change items: leave them out")
	}
	done, index, err := v.propose(ctx, &fsm.ReleaseLock{Namespace: want.Namespace, Path: want.Path, LockID: want.Lock.ID})
	if err != nil {
		return nil, 0, err
	}
	if err := v.refused(ctx, done, want.Namespace, want.Path); err != nil {
		return nil, 0, err
	}
	return &nomadish.Variable{VariableMetadata: done.Variable.VariableMetadata}, index, nil
}

// Renew gives the lock whose ID the caller gives its whole time again. The caller has made
// sure that this server leads and knows every lock that was acquired or lost before the call.
func (v *Variables) Renew(ctx context.Context, want *nomadish.Variable) (*nomadish.VariableMetadata, uint64, error) {
	if err := admitHolder(ctx, want); err != nil {
		return nil, 0, err
	}
	row, err := v.store.Reader().Variable(nil, want.Namespace, want.Path)
	if err != nil && !errors.Is(err, nomadish.ErrNotFound) {
		return nil, 0, err
	}
	if err != nil || !row.Holds(want.Lock.ID) {
		return nil, 0, v.conflict(ctx, row, want.Namespace, want.Path, reasonLock)
	}
	if err := v.timers.Renew(row); err != nil {
		if nomadish.KindOf(err) == nomadish.KindConflict {
			return nil, 0, v.conflict(ctx, row, want.Namespace, want.Path, err.Error())
		}
		return nil, 0, err
	}
	return &row.VariableMetadata, row.ModifyIndex, nil
}

// admitHolder checks what somebody wants who claims to hold a lock. Who gives no ID holds none.
func admitHolder(ctx context.Context, want *nomadish.Variable) error {
	if want.Lock == nil {
		want.Lock = &nomadish.VariableLock{}
	}
	return admitVariable(ctx, want, nomadish.PermVariablesWrite)
}

// write seals the items of a variable and proposes the command that make makes of them, until
// nobody else has written in between.
func (v *Variables) write(ctx context.Context, want *nomadish.Variable, command func(items *nomadish.Sealed, base uint64) fsm.Command) (*nomadish.Variable, uint64, error) {
	row := &nomadish.SealedVariable{VariableMetadata: nomadish.VariableMetadata{Namespace: want.Namespace, Path: want.Path}}
	if old, err := v.store.Reader().Variable(nil, want.Namespace, want.Path); err == nil {
		row.ModifyIndex = old.ModifyIndex
	}
	for range sealAttempts {
		row.Base = row.ModifyIndex
		items, err := v.seal(want.Items, row)
		if err != nil {
			return nil, 0, err
		}
		done, index, err := v.propose(ctx, command(items, row.Base))
		if err != nil {
			return nil, 0, err
		}
		if done.Refused == fsm.RefusedSeal {
			row.ModifyIndex = 0
			if done.Variable != nil {
				row.ModifyIndex = done.Variable.ModifyIndex
			}
			continue
		}
		if err := v.refused(ctx, done, want.Namespace, want.Path); err != nil {
			return nil, 0, err
		}
		return v.answer(ctx, want, done.Variable, index)
	}
	return nil, 0, nomadish.Errorf(nomadish.KindLimited, "variable %q is written by too many at once: try again", want.Path)
}

// answer is what a writer gets: the items that it gave, or, if it gave none, those it may read.
func (v *Variables) answer(ctx context.Context, want *nomadish.Variable, row *nomadish.SealedVariable, index uint64) (*nomadish.Variable, uint64, error) {
	out := &nomadish.Variable{VariableMetadata: row.VariableMetadata, Items: want.Items}
	if len(want.Items) > 0 || !nomadish.CallerFrom(ctx).Allows(nomadish.PermVariablesRead, row.Namespace, row.Path) {
		return out, index, nil
	}
	opened, err := v.open(row)
	if err != nil {
		return nil, 0, err
	}
	out.Items = opened.Items
	return out, index, nil
}

// seal encrypts items for a row; no items are nil.
func (v *Variables) seal(items nomadish.VariableItems, row *nomadish.SealedVariable) (*nomadish.Sealed, error) {
	if len(items) == 0 {
		return nil, nil
	}
	plain := codec.Marshal(&nomadish.VariableContent{Items: items})
	defer clear(plain)
	sealed, err := v.keyring.Seal(plain, row.Bound())
	return &sealed, err
}

// open decrypts a row.
func (v *Variables) open(row *nomadish.SealedVariable) (*nomadish.Variable, error) {
	out := &nomadish.Variable{VariableMetadata: row.VariableMetadata}
	if row.Items == nil {
		return out, nil
	}
	plain, err := v.keyring.Open(*row.Items, row.Bound())
	if err != nil {
		return nil, fmt.Errorf("variable %q: %w", row.Path, err)
	}
	defer clear(plain)
	var content nomadish.VariableContent
	if err := codec.Unmarshal(plain, &content); err != nil {
		return nil, fmt.Errorf("variable %q: %w", row.Path, err)
	}
	out.Items = content.Items
	return out, nil
}

func (v *Variables) propose(ctx context.Context, c fsm.Command) (*fsm.VariableResult, uint64, error) {
	index, answer, err := v.raft.Propose(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	done, ok := answer.(*fsm.VariableResult)
	if !ok {
		return nil, 0, nomadish.Errorf(nomadish.KindInternal, "command %s answered a %T", c.Kind(), answer)
	}
	return done, index, nil
}

// What writers that are refused are told.
const (
	reasonCheck = "it has changed: its ModifyIndex is not the one that was asked for"
	reasonLock  = "its lock is not held with this ID"
)

// refused turns a refusal into the error that shows the variable as it is.
func (v *Variables) refused(ctx context.Context, done *fsm.VariableResult, namespace, path string) error {
	switch done.Refused {
	case fsm.NotRefused:
		return nil
	case fsm.RefusedCheck:
		return v.conflict(ctx, done.Variable, namespace, path, reasonCheck)
	}
	reason := reasonLock
	switch row := done.Variable; {
	case row == nil:
	case row.Lock != nil:
		reason = "somebody else holds its lock"
	case row.Lost != nil:
		reason = "its lock was lost, and nobody can have it until its delay is over"
	}
	return v.conflict(ctx, done.Variable, namespace, path, reason)
}

// conflict is a refusal with the variable as it is, and its items if the caller may read them.
func (v *Variables) conflict(ctx context.Context, row *nomadish.SealedVariable, namespace, path, reason string) error {
	current := &nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Namespace: namespace, Path: path}}
	if row != nil {
		caller := nomadish.CallerFrom(ctx)
		if caller.Allows(nomadish.PermVariablesRead, namespace, path) {
			opened, err := v.open(row)
			if err != nil {
				return err
			}
			current.Items = opened.Items
		}
		current.VariableMetadata = *visible(caller, row)
	}
	return &nomadish.VariableConflict{Reason: reason, Current: current}
}
