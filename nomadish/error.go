package nomadish

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is; the HTTP API makes a status of it.
type Kind uint8

// The kinds of errors, with their HTTP status.
const (
	KindInternal Kind = iota // 500: a fault of ours
	KindInvalid              // 400: the request is wrong
	KindDenied               // 403
	KindNotFound             // 404
	KindConflict             // 409
	KindTooLarge             // 413
	KindLimited              // 429: too many at once; try again
	KindNoLeader             // 503: no leader now; try again
	KindNoSpace              // 507: the servers' disk is full
	KindUnknown              // 503: nobody knows whether it was carried out
)

// Error is an error with a kind.
type Error struct {
	Kind    Kind
	Message string
	Err     error // the cause, or nil
}

// Errorf makes an error of a kind. A %w among the verbs makes its operand the cause.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Message: err.Error(), Err: errors.Unwrap(err)}
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain, or KindInternal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// ErrUnknownOutcome says that a write may or may not be carried out.
var ErrUnknownOutcome = &Error{Kind: KindUnknown, Message: "outcome is unknown"}

// ErrNotFound says that no such thing exists; errors.Is finds it in every error of KindNotFound.
var ErrNotFound = &Error{Kind: KindNotFound, Message: "not found"}

// Is says that target is an Error of the same kind without a cause of its own: errors.Is(err, ErrNotFound)
// holds for every error of KindNotFound.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t == ErrNotFound && e.Kind == KindNotFound
}
