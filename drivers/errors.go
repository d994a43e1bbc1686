package drivers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrTaskLost says that a task is gone and nobody saw how it ended.
var ErrTaskLost = errors.New("task is lost: nobody saw how it ended")

// RecoverableError marks an error of Start that may go away when it is tried again, so
// that the restart policy applies. Without it the task fails.
type RecoverableError struct{ Err error }

func (e *RecoverableError) Error() string { return e.Err.Error() }
func (e *RecoverableError) Unwrap() error { return e.Err }

// Recoverable marks err as one that may go away.
func Recoverable(err error) error { return &RecoverableError{Err: err} }

// IsRecoverable says whether err is marked as one that may go away.
func IsRecoverable(err error) bool {
	var r *RecoverableError
	return errors.As(err, &r)
}

// Key turns a task's ID into a name of at most 64 characters from [a-zA-Z0-9-], different
// for different IDs.
func Key(id string) string {
	sum := sha256.Sum256([]byte(id))
	alloc, _, _ := strings.Cut(id, "/")
	if len(alloc) > 8 {
		alloc = alloc[:8]
	}
	return "nmd-" + safe(alloc) + "-" + hex.EncodeToString(sum[:10])
}

func safe(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, s)
}
