package server

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/state"
)

// Times of a server that compares its state with those of others.
const (
	compareEvery   = 5 * time.Second        // at most, and only when there are new hashes
	reinstallAgain = 500 * time.Millisecond // between attempts to get another state
)

// errDiverged is the answer of a server whose state is known to be wrong.
var errDiverged = nomadish.Errorf(nomadish.KindNoLeader, "this server's state differs from that of the others and is being replaced: ask again, or another server")

// finding is what comparing states has shown.
type finding struct {
	index uint64
	right []string // the servers of a majority that this one is not of; none: it is, or nobody can tell
	split bool     // hashes differ, and none is that of a majority
}

// compareStates looks at the newest index at which this server and a majority of the voters know their
// hash. The state that a majority has is the right one.
func compareStates(self string, peers []consensus.Peer, reports map[string]*nomadish.ServerReport) finding {
	own := reports[self]
	if own == nil {
		return finding{}
	}
	voters := 0
	for _, p := range peers {
		if p.Voter {
			voters++
		}
	}
	var split finding
	for _, h := range slices.Backward(own.Hashes) {
		byHash, known := hashesAt(h, peers, reports)
		for hash, ids := range byHash { // at most one is that of a majority
			switch {
			case len(ids) <= voters/2:
			case hash != h.Hash:
				return finding{index: h.Index, right: ids}
			case split.split:
				return split
			default:
				return finding{index: h.Index}
			}
		}
		if known == voters && known > 1 && !split.split {
			split = finding{index: h.Index, split: true} // an older hash may tell
		}
	}
	return split
}

// hashesAt lists the voters by what they know of one index, and says how many know something.
func hashesAt(at nomadish.StateHash, peers []consensus.Peer, reports map[string]*nomadish.ServerReport) (byHash map[string][]string, known int) {
	byHash = map[string][]string{}
	for _, p := range peers {
		r := reports[p.ID]
		if !p.Voter || r == nil {
			continue
		}
		i := slices.IndexFunc(r.Hashes, func(o nomadish.StateHash) bool { return o.Index == at.Index && o.Level == at.Level })
		if i >= 0 {
			byHash[r.Hashes[i].Hash] = append(byHash[r.Hashes[i].Hash], p.ID)
			known++
		}
	}
	return byHash, known
}

// compare compares this server's state with those of the others as long as it runs. Of a minority it stops
// serving, and gets the state of a majority; its log and its vote are right, and go on meanwhile.
func (s *Server) compare(ctx context.Context) error {
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()
	seen := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		newest := s.hashes.newest()
		if newest == seen {
			continue
		}
		peers := s.consensus.Peers()
		found := compareStates(s.cfg.ID, peers, s.autopilot.Reports(ctx, peers))
		if found.split {
			s.cfg.Logger.Error("the servers' states differ, and no majority has the same", "index", found.index)
		}
		if len(found.right) > 0 {
			s.cfg.Logger.Error("this server's state is not that of a majority: it does not serve until it has theirs", "index", found.index, "others", found.right)
			s.reinstall(ctx, found.right)
		}
		seen = newest
	}
}

// reinstall replaces the state by that of one of the servers.
func (s *Server) reinstall(ctx context.Context, from []string) {
	s.fsm.Hold()
	for try := 0; ctx.Err() == nil; try++ {
		if leader, _ := s.consensus.Leader(); leader == s.cfg.ID {
			if err := s.consensus.TransferLeadership(ctx, ""); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("leave the lead", "err", err)
			}
		}
		err := s.install(ctx, from[try%len(from)])
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("get the state of another server", "server_id", from[try%len(from)], "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reinstallAgain):
		}
	}
	s.hashes.forget()
	s.cfg.Logger.Info("this server has the state of the others again", "index", s.store.Reader().Index())
	// The snapshots on its disk are of the wrong state still. There is a new one once there is a new entry.
	for s.consensus.RenewSnapshots(ctx) != nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(reinstallAgain):
		}
	}
}

// install replaces the state by another server's.
func (s *Server) install(ctx context.Context, id string) (err error) {
	if s.cfg.AskState == nil {
		return errors.New("no path to its state")
	}
	in, err := s.cfg.AskState(ctx, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	file, err := snapshot.NewReader(in)
	if err != nil {
		return err
	}
	next, err := state.ReadSnapshot(file)
	if err != nil {
		return err
	}
	if next.Reader().Hash().String() != file.Meta.StateHash {
		return snapshot.ErrDamaged
	}
	for {
		done, err := s.fsm.Replace(next)
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		select { // the log comes as far as that state by itself
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Serving says why this server answers nobody, if that is so.
func (s *Server) Serving() error {
	if s.fsm.Held() {
		return errDiverged
	}
	return nil
}

// State writes this server's state to w, for another server.
func (s *Server) State(ctx context.Context, w io.Writer) error {
	if err := s.Serving(); err != nil {
		return err
	}
	write, _, err := s.SaveSnapshot(ctx)
	if err != nil {
		return err
	}
	return write(w)
}
