package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// SaveSnapshot returns what writes this server's present state to a file, the same bytes each time, and
// the state's index.
func (s *Server) SaveSnapshot(context.Context) (write func(io.Writer) error, index uint64, err error) {
	r := s.store.Reader()
	meta := snapshot.Meta{
		Version: s.cfg.Version, Region: s.cfg.Region, ClusterID: r.ClusterID(), Index: r.Index(), Term: r.Term(),
		Level: r.Level(), StateHash: r.Hash().String(), Created: s.cfg.Now().UTC(),
	}
	return func(w io.Writer) error { return writeSnapshot(w, r, meta) }, r.Index(), nil
}

func writeSnapshot(w io.Writer, r state.Reader, meta snapshot.Meta) error {
	out, err := snapshot.NewWriter(w, meta)
	if err != nil {
		return err
	}
	written, err := r.WriteSnapshotTables(out)
	if err != nil {
		return err
	}
	tables := make([]snapshot.Table, len(written))
	for i, t := range written {
		tables[i] = snapshot.Table(t)
	}
	return out.Close(tables)
}

// RestoreSnapshot replaces the state of all servers by one that was saved. All of it is checked before
// anything changes: when it returns an error, nothing has, unless that is consensus.ErrUnknownOutcome. Where
// the servers lack the wrapping key of the saved cluster its recovery key is needed; else that may be empty.
func (s *Server) RestoreSnapshot(ctx context.Context, in io.Reader, recoveryKey nomadish.SecretText) (index uint64, err error) {
	var key *recovery.Key
	if recoveryKey != "" {
		if key, err = recovery.Parse(recoveryKey); err != nil {
			return 0, err
		}
	}
	meta, next, err := s.checkSnapshot(ctx, in, key)
	if err != nil {
		return 0, err
	}
	s.cfg.Logger.Warn("the state is being replaced by a snapshot", "cluster", meta.ClusterID, "index", meta.Index, "created", meta.Created)
	return s.consensus.Restore(ctx, next)
}

func (s *Server) checkSnapshot(ctx context.Context, in io.Reader, key *recovery.Key) (snapshot.Meta, *state.Store, error) {
	file, err := snapshot.NewReader(in)
	if err != nil {
		return snapshot.Meta{}, nil, unusable(err)
	}
	meta := file.Meta
	if !fsm.SupportedLevels().Speaks(meta.Level) {
		return meta, nil, nomadish.Errorf(nomadish.KindInvalid, "the snapshot is of cluster level %d, this program speaks up to %d", meta.Level, fsm.MaxLevel)
	}
	if meta.Region != s.cfg.Region {
		return meta, nil, nomadish.Errorf(nomadish.KindInvalid, "the snapshot is of region %q, this is %q", meta.Region, s.cfg.Region)
	}
	next, err := state.ReadSnapshot(file)
	if err != nil {
		return meta, nil, unusable(err)
	}
	r := next.Reader()
	if r.Hash().String() != meta.StateHash || r.Index() != meta.Index || r.Level() != meta.Level {
		return meta, nil, nomadish.Errorf(nomadish.KindInvalid, "%w: its description is of another state", snapshot.ErrDamaged)
	}
	rewrap, err := s.keyring.Restorable(ctx, r, key)
	if err != nil {
		return meta, nil, nomadish.Errorf(nomadish.KindConflict, "the snapshot's keyring can't be used here, so its secrets would be lost: %w; %s", err, needed(r))
	}
	if rewrap != nil {
		if err := fsm.Amend(next, rewrap); err != nil {
			return meta, nil, err
		}
		s.cfg.Logger.Warn("the snapshot's root keys were opened with the recovery key", "keys", len(rewrap.Keys))
	}
	return meta, next, nil
}

// needed says what opens the keyring of a snapshot.
func needed(r state.Reader) string {
	needs := "start this cluster with the wrapping key of the one that was saved: its file server/keyring/wrap.key in the data directory, or its keyring block"
	if key := r.RecoveryKey(nil); key != nil {
		needs = fmt.Sprintf("%s %s, or %s", nomadish.NeedsRecoveryKey, key.ID, needs)
	}
	return needs
}

// unusable is the answer to a snapshot that can't be read. Errors of the connection stay what they are.
func unusable(err error) error {
	if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, state.ErrSnapshot) {
		return nomadish.Errorf(nomadish.KindInvalid, "%w", err)
	}
	return fmt.Errorf("read the snapshot: %w", err)
}
