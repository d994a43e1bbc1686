package secrets

import (
	"context"
)

// Wrapper is a key outside of the cluster's state that root keys are encrypted with: one in
// a file, or in a key management service. Its methods may be called concurrently, and return
// within the time that their context gives.
type Wrapper interface {
	// Name tells this key from others, for all time. It is in the state.
	Name() string
	Wrap(ctx context.Context, plain []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}
