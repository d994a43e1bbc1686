package pki

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// A cluster that was off for longer than its servers' certificates are good could not begin again:
// its servers would refuse each other, and without them no leader signs anything. So each server keeps
// the authority that signs beside the state, its key wrapped as root keys are, and can give itself a
// certificate. Who has its disk and its wrapping key has the state's copy as well.

// Wrapper is a key outside of the state, see package secrets.
type Wrapper interface {
	Name() string
	Wrap(ctx context.Context, plain []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// kept is an authority beside the state.
type kept struct {
	Certificate []byte // DER
	Wrapper     string // its name
	Key         []byte // wrapped
}

// keepRetry is the time after which what could not be kept is tried again.
const keepRetry = 5 * time.Second

// Run keeps the authority beside the state until ctx ends, where the configuration says how. Every server runs it.
func (p *PKI) Run(ctx context.Context) error {
	last := ""
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		all := authorities(p.store.Reader(), ws)
		active := inState(all, nomadish.AuthorityActive)
		wait, cancel := context.WithCancel(ctx)
		if active != nil && active.ID != last && p.cfg.Keep != nil {
			if err := p.keep(ctx, all); err != nil && ctx.Err() == nil {
				p.cfg.Logger.Warn("the certificate authority can't be kept beside the state yet", "err", err)
				wait, cancel = context.WithTimeout(ctx, keepRetry)
			} else {
				last = active.ID
			}
		}
		_ = ws.WatchCtx(wait) // the loop sees that ctx has ended
		cancel()
	}
	return nil
}

func (p *PKI) keep(ctx context.Context, all []*nomadish.Authority) error {
	signer, err := p.signer(all)
	if err != nil {
		return err
	}
	key, err := signer.Key()
	if err != nil {
		return err
	}
	defer clear(key)
	k := kept{Certificate: signer.Certificate.Raw, Wrapper: p.cfg.Wrapper.Name()}
	if k.Key, err = p.cfg.Wrapper.Wrap(ctx, key); err != nil {
		return err
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return p.cfg.Keep(text)
}

// Kept opens an authority that was kept, with one of the wrappers.
func Kept[W Wrapper](ctx context.Context, text []byte, wrappers []W) (*certificate.Authority, error) {
	k := kept{}
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	c, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	var errs []error
	for _, w := range wrappers {
		if w.Name() != k.Wrapper {
			continue
		}
		key, err := w.Unwrap(ctx, k.Key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer clear(key)
		return certificate.OpenAuthority(c, key)
	}
	return nil, fmt.Errorf("authority: %w", errors.Join(append(errs, errors.New("no wrapping key opens it"))...))
}
