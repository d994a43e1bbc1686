package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Holdings is what the data of a server that does not run holds.
type Holdings struct {
	Index    uint64 // of the newest entry; every acknowledged write up to it that this server has is kept
	Term     uint64 // of that entry
	Snapshot uint64 // index of the newest snapshot; 0: there is none
	Peers    []Peer // the cluster, as the newest configuration here has it
}

// ErrNoData says that a directory holds no server's data.
var ErrNoData = errors.New("there is no server's data here")

// Holds returns what the data in c.Dir holds, of a server that does not run. It fails as New does where
// the data is damaged, and changes nothing that New would not.
func Holds(c Config) (Holdings, error) {
	s, err := stopped(c)
	if err != nil {
		return Holdings{}, err
	}
	h, err := s.holdings()
	return h, errors.Join(err, s.Close())
}

// Recover makes a cluster of the named servers out of a lost majority's survivor: c.ID, whose data is in
// c.Dir and which does not run. All entries that it has count as committed, the others' are lost. Where
// several survivors are named, it is to be called for each of them, and the one that had the newest entry
// will lead.
func Recover(c Config, peers []Peer) (Holdings, error) {
	s, err := stopped(c)
	if err != nil {
		return Holdings{}, err
	}
	h, err := s.holdings()
	if err == nil {
		err = s.recover(peers)
	}
	return h, errors.Join(err, s.Close())
}

// stopped opens a server's data, which must be there.
func stopped(c Config) (*Consensus, error) {
	c = c.withDefaults()
	c.Reserve, c.raftless = 0, true
	if names, err := c.FS.ReadDir(filepath.Join(c.Dir, "raft")); errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoData, c.Dir)
	} else if err != nil {
		return nil, err
	}
	return New(c, fsm.New(state.New(), fsm.Config{Logger: c.Logger}), nil)
}

func (c *Consensus) holdings() (Holdings, error) {
	var h Holdings
	last, err := c.log.LastIndex()
	if err != nil {
		return h, err
	}
	conf, err := c.snapshotHoldings(&h)
	if err != nil {
		return h, err
	}
	var entry raft.Log
	if last > h.Index {
		if err := c.log.Store.GetLog(last, &entry); err != nil {
			return h, err
		}
		h.Index, h.Term = entry.Index, entry.Term
	}
	if at := c.log.LastOfType(raft.LogConfiguration, last); at > 0 {
		if err := c.log.Store.GetLog(at, &entry); err != nil {
			return h, err
		}
		conf = raft.DecodeConfiguration(entry.Data)
	}
	for _, s := range conf.Servers {
		h.Peers = append(h.Peers, Peer{ID: string(s.ID), Voter: s.Suffrage == raft.Voter})
	}
	if h.Index == 0 {
		return h, fmt.Errorf("%w: %s", ErrNoData, c.cfg.Dir)
	}
	return h, nil
}

// snapshotHoldings fills in what the newest snapshot holds, and returns its configuration.
func (c *Consensus) snapshotHoldings(h *Holdings) (raft.Configuration, error) {
	names, err := c.snaps.names()
	if err != nil || len(names) == 0 {
		return raft.Configuration{}, err
	}
	meta, r, err := c.snaps.Open(names[0])
	if err != nil {
		return raft.Configuration{}, err
	}
	h.Index, h.Term, h.Snapshot = meta.Index, meta.Term, meta.Index
	return meta.Configuration, r.Close()
}

// recover writes a snapshot of all that is here, with the given servers as the cluster.
func (c *Consensus) recover(peers []Peer) error {
	if !slices.ContainsFunc(peers, func(p Peer) bool { return p.Voter && p.ID == c.cfg.ID }) {
		return nomadish.Errorf(nomadish.KindInvalid, "recover: this server (%s) is not among those that are to vote", c.cfg.ID)
	}
	var conf raft.Configuration
	for _, p := range peers {
		server := raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.ID), Suffrage: raft.Nonvoter}
		if p.Voter {
			server.Suffrage = raft.Voter
		}
		conf.Servers = append(conf.Servers, server)
	}
	machine := fsm.New(state.New(), fsm.Config{Logger: c.cfg.Logger})
	_, nowhere := raft.NewInmemTransport("")
	err := raft.RecoverCluster(c.cfg.raft(), machine, c.log.Store, c.log.Store, c.snaps, nowhere, conf)
	if err = errors.Join(err, machine.Err()); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}

const (
	peersFile    = "peers.json"
	peersFileMax = 1 << 20
)

// recoverByFile does what the file raft/peers.json says, if there is one, as Nomad's servers do: a list of
// servers with id and non_voter, which becomes the cluster. The file is gone afterwards.
func (c *Consensus) recoverByFile() error {
	name := filepath.Join(c.cfg.Dir, "raft", peersFile)
	data, err := vfs.ReadFile(c.cfg.FS, name, peersFileMax)
	if errors.Is(err, fs.ErrNotExist) || c.cfg.raftless {
		return nil
	}
	if err != nil {
		return err
	}
	var list []struct {
		ID       string `json:"id"`
		NonVoter bool   `json:"non_voter"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	peers := make([]Peer, len(list))
	for i, p := range list {
		peers[i] = Peer{ID: p.ID, Voter: !p.NonVoter}
	}
	if err := c.recover(peers); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.cfg.Logger.Warn("the cluster is now what peers.json says", "servers", len(peers))
	return errors.Join(c.cfg.FS.Remove(name), c.cfg.FS.SyncDir(filepath.Dir(name)))
}
