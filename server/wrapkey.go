package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/secrets"
)

// WrapKey answers another server that lacks the wrapping key in a file. The answer is sealed for who asked,
// so that nobody reads it on the way even where connections between servers are not encrypted.
func (s *Server) WrapKey(_ context.Context, req *nomadish.WrapKeyRequest) (*nomadish.WrapKeyResponse, error) {
	for _, f := range s.keyFiles() {
		if f.Check() != nil || f.Name() != req.Wrapper {
			continue
		}
		key, err := f.Export()
		if err != nil {
			return nil, err
		}
		defer clear(key)
		private, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		aead, err := between(private, req.Public, req.Wrapper)
		if err != nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "wrapping key: %w", err)
		}
		return &nomadish.WrapKeyResponse{Public: private.PublicKey().Bytes(), Sealed: aead.Seal(nil, nil, key, []byte(req.Wrapper))}, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "this server does not have wrapping key %q", req.Wrapper)
}

// between returns what seals for the holder of one key of X25519 by that of another.
func between(private *ecdh.PrivateKey, public []byte, wrapper string) (cipher.AEAD, error) {
	other, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(other)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, shared, nil, "nomadish wrapping key "+wrapper, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keyFiles are the wrapping keys of this server that are in files.
func (s *Server) keyFiles() []*secrets.File {
	var files []*secrets.File
	for _, w := range s.wrappers {
		if f, ok := w.(*secrets.File); ok {
			files = append(files, f)
		}
	}
	return files
}

// fetchEvery is the time between two attempts to get a wrapping key.
const fetchEvery = 500 * time.Millisecond

// fetchWrapKey gets the wrapping key that the cluster's root keys need from another server, where this one
// lacks it: that is so on all servers of a new cluster but the one that led first, and on new servers.
func (s *Server) fetchWrapKey(ctx context.Context) error {
	for {
		watch := memdb.NewWatchSet()
		file, wanted := s.missingWrapKey(watch)
		if wanted == "" {
			if watch.WatchCtx(ctx) != nil {
				return nil
			}
			continue
		}
		if err := s.fetch(ctx, file, wanted); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Debug("no server has given the wrapping key yet", "key", wanted, "err", err)
		}
		if lifecycle.Sleep(ctx, fetchEvery) != nil {
			return nil
		}
	}
}

// missingWrapKey names a wrapping key in a file that a root key needs and this server lacks, and the file
// that it belongs in; nothing if there is none.
func (s *Server) missingWrapKey(watch memdb.WatchSet) (*secrets.File, string) {
	files := s.keyFiles()
	for row := range s.store.Reader().RootKeys(watch) {
		if len(files) == 0 || slices.ContainsFunc(row.Wrapped, s.unwraps) {
			continue
		}
		for _, w := range row.Wrapped {
			if strings.HasPrefix(w.Wrapper, secrets.FilePrefix) {
				return files[0], w.Wrapper
			}
		}
	}
	return nil, ""
}

// unwraps says whether this server has the key that wrapped something.
func (s *Server) unwraps(k nomadish.WrappedKey) bool {
	return slices.ContainsFunc(s.wrappers, func(w secrets.Wrapper) bool {
		if f, ok := w.(*secrets.File); ok {
			return f.Check() == nil && f.Name() == k.Wrapper
		}
		return k.Wrapper == w.Name() || strings.HasPrefix(k.Wrapper, w.Name()+":")
	})
}

// fetch asks the other servers for a wrapping key, the leader first.
func (s *Server) fetch(ctx context.Context, file *secrets.File, wanted string) error {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	req := &nomadish.WrapKeyRequest{Wrapper: wanted, Public: private.PublicKey().Bytes()}
	leader, _ := s.consensus.Leader()
	ids := []string{leader}
	for _, p := range s.consensus.Peers() {
		ids = append(ids, p.ID)
	}
	var errs []error
	for i, id := range ids {
		if id == "" || id == s.cfg.ID || i > 0 && id == leader {
			continue
		}
		resp, err := s.cfg.AskWrapKey(ctx, id, req)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		aead, err := between(private, resp.Public, wanted)
		if err != nil {
			return err
		}
		key, err := aead.Open(nil, nil, resp.Sealed, []byte(wanted))
		if err != nil {
			return err
		}
		defer clear(key)
		if err := file.Adopt(key); err != nil {
			return err
		}
		s.cfg.Logger.Info("this server has the cluster's wrapping key now", "key", wanted, "from", id)
		return nil
	}
	return errors.Join(errs...)
}
