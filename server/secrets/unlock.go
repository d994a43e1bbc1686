package secrets

import (
	"context"
	"errors"
	"iter"

	"github.com/nomadish/nomadish/nomadish"
)

// CanUse says why this server could not use root keys that are not in its state yet, all of them: those
// of a state that is to be restored.
func (k *Keyring) CanUse(ctx context.Context, rows iter.Seq[*nomadish.RootKey]) error {
	ctx, cancel := context.WithTimeout(ctx, 4*k.cfg.Timeout)
	defer cancel()
	var errs []error
	for row := range rows {
		key, err := k.unwrap(ctx, row)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		key.wipe()
	}
	return errors.Join(errs...)
}
