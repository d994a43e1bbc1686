// Package consensus replicates commands among servers with raft, and keeps them on a disk that it does
// not trust: what was acknowledged is read back as it was, or the server stops.
//
// New opens the data, Run takes part. A command is proposed on the leader with Propose, which returns
// once the command is committed and applied here. A read is as new as any acknowledged command if it is
// made at an index that ReadIndex gave, after WaitIndex. Lead runs what only the leader does.
package consensus

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
)

var le = binary.LittleEndian

// appendEntries is how many entries one message of raft holds, which keeps it within 16 MiB.
const appendEntries = 16

// Config says who a server is, where its data is, and how patient it is.
type Config struct {
	ID  string // the server's identity, for all time; required
	Dir string // directory of the data; required
	FS  vfs.FS // default: the machine's

	// Bootstrap names the voters of a new cluster. It counts only while the server has no data; a cluster's
	// first servers all have the same list, a server that is to be added has none.
	Bootstrap []string

	HeartbeatTimeout  time.Duration // silence of the leader after which an election begins; default 250ms
	ElectionTimeout   time.Duration // time a candidate waits for votes; default HeartbeatTimeout
	LeaseTimeout      time.Duration // time a leader leads without hearing from a majority; default HeartbeatTimeout
	RequestTimeout    time.Duration // time a request to another server may take; default 5s
	ProposalLimit     int           // proposals under way at once, beyond which they wait; default 1024
	ReadLimit         int           // reads that wait for one quorum check, beyond which they are refused; default 16384
	SnapshotInterval  time.Duration // time between looks at whether to write a snapshot; default 30s
	SnapshotThreshold uint64        // entries after which a snapshot is written; default 8192
	TrailingEntries   uint64        // entries kept behind a snapshot for slow followers; default 10240
	SegmentSize       int64         // size of a log file; default 16 MiB
	Reserve           int64         // space that is kept free for a full disk; default 32 MiB, and none with an FS other than the machine's; negative: none
	SlowDisk          time.Duration // time from which on an append to the log is slow; default HeartbeatTimeout
	Logger            *slog.Logger  // default: discard

	Now func() time.Time // wall clock, for the time of commands; default time.Now

	raftless bool // the data is opened to look at it, or to change it, and not to be run
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = vfs.OS{}
		c.Reserve = cmp.Or(c.Reserve, 32<<20)
	}
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 250*time.Millisecond)
	c.ElectionTimeout = cmp.Or(c.ElectionTimeout, c.HeartbeatTimeout)
	c.LeaseTimeout = cmp.Or(c.LeaseTimeout, c.HeartbeatTimeout)
	c.SlowDisk = cmp.Or(c.SlowDisk, c.HeartbeatTimeout)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 5*time.Second)
	c.ProposalLimit = cmp.Or(c.ProposalLimit, 1024)
	c.ReadLimit = cmp.Or(c.ReadLimit, 16384)
	c.SnapshotInterval = cmp.Or(c.SnapshotInterval, 30*time.Second)
	c.SnapshotThreshold = cmp.Or(c.SnapshotThreshold, 8192)
	c.TrailingEntries = cmp.Or(c.TrailingEntries, 10240)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.ID == "" {
		errs = append(errs, errors.New("no ID is given"))
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("no Dir is given"))
	}
	if c.ProposalLimit < 1 || c.ReadLimit < 1 {
		errs = append(errs, errors.New("a limit is below 1: ProposalLimit, ReadLimit"))
	}
	return errors.Join(append(errs, raft.ValidateConfig(c.raft()))...)
}

// raft returns the settings in raft's words.
func (c Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.ID)
	r.HeartbeatTimeout = c.HeartbeatTimeout
	r.ElectionTimeout = c.ElectionTimeout
	r.LeaderLeaseTimeout = c.LeaseTimeout
	r.MaxAppendEntries = appendEntries
	r.SnapshotInterval = c.SnapshotInterval
	r.SnapshotThreshold = c.SnapshotThreshold
	r.TrailingLogs = c.TrailingEntries
	r.NoLegacyTelemetry = true
	r.ShutdownOnRemove = false // raft would end on its own, and Run not hear of it
	r.Logger = newHCLog(c.Logger, "raft")
	return r
}

// Consensus is one server's part. Its methods may be called concurrently, also before and after Run.
type Consensus struct {
	cfg     Config
	network Network
	machine machine
	log     *storage
	snaps   *snapshots

	proposals chan struct{} // holds a token for each proposal under way
	reads     chan *read
	restoring chan struct{}  // holds a token while a snapshot is restored
	waiters   sync.WaitGroup // goroutines of proposals whose callers went away
	answers   answers
	// remembered is the name of the cluster that this server belonged to when it was opened.
	remembered string
	handing    atomic.Bool // another server is being made the leader

	mu        sync.Mutex // guards what follows
	raft      *raft.Raft // nil before Run
	transport transport  // raft's, with it
	lead      leadership
	terms     int           // calls of what Lead was given
	changed   chan struct{} // closed when lead or terms changes
	fatal     error
	dead      chan struct{} // closed with fatal's being set, or when Run returns
}

// New opens a server's data, and verifies all of it. It starts nothing; without Run, Close frees the data.
// Nobody else may give f anything to apply.
func New(cfg Config, f *fsm.FSM, network Network) (*Consensus, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	c := &Consensus{
		cfg: cfg, network: network,
		proposals: make(chan struct{}, cfg.ProposalLimit),
		reads:     make(chan *read, cfg.ReadLimit),
		restoring: make(chan struct{}, 1),
		changed:   make(chan struct{}),
		dead:      make(chan struct{}),
	}
	c.machine = machine{f, c.stop, make(chan struct{}, 1), &origin{}}
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("consensus: %w", advise(err))
	}
	return c, nil
}

// ErrDisk says that the disk failed, or does not hold what was written to it: the server takes no part in the
// cluster with that.
var ErrDisk = errors.New("the disk failed")

// stopDisk ends Run after an error of the disk. One that is full is no failure: a new start may find space.
func (c *Consensus) stopDisk(err error) {
	if !errors.Is(err, logstore.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	c.stop(err)
}

// advise says what to do about damage.
func advise(err error) error {
	var damage *logstore.CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	if !errors.Is(err, ErrDisk) {
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return fmt.Errorf("%w; this server takes no part with such data. If a majority of the others works, stop it and run "+
		"\"operator recover -discard\" with its data directory: it then joins anew and gets its data from them", err)
}

func (c *Consensus) open() (err error) {
	if c.snaps, err = openSnapshots(c.cfg.FS, filepath.Join(c.cfg.Dir, "snapshots")); err != nil {
		return err
	}
	store, err := logstore.Open(logstore.Config{
		FS: c.cfg.FS, Dir: filepath.Join(c.cfg.Dir, "raft"), SegmentSize: c.cfg.SegmentSize, Logger: c.cfg.Logger,
	})
	if err != nil {
		return err
	}
	c.log = &storage{
		Store: store, fatal: c.stopDisk, pace: newPace(c.cfg.SlowDisk),
		reserve: &reserve{fs: c.cfg.FS, name: filepath.Join(c.cfg.Dir, "reserve"), size: c.cfg.Reserve},
	}
	if err := c.compareWithSnapshot(); err != nil {
		return errors.Join(err, store.Close())
	}
	if err := errors.Join(c.recoverByFile(), c.recall(), c.log.reserve.take()); err != nil {
		return errors.Join(err, store.Close())
	}
	return nil
}

// compareWithSnapshot checks that the newest snapshot is whole and the log goes on from it. A log that ends
// before the snapshot was left by a crash after the snapshot came from the leader; it is of no use.
func (c *Consensus) compareWithSnapshot() error {
	first, err := c.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := c.log.LastIndex()
	if err != nil {
		return err
	}
	names, err := c.snaps.names()
	if err != nil {
		return err
	}
	var index uint64
	if len(names) > 0 {
		meta, r, err := c.snaps.Open(names[0])
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
		index = meta.Index
	}
	switch {
	case first > index+1:
		return &logstore.CorruptError{
			File: c.cfg.Dir, Index: index + 1,
			Reason: fmt.Sprintf("the newest snapshot ends before it and the log begins at entry %d", first),
		}
	case last > 0 && last < index:
		return c.log.DeleteRange(first, last)
	}
	return nil
}

// Close frees the data of a Consensus that was never run.
func (c *Consensus) Close() error { return c.log.Close() }

// Run takes part in the cluster until ctx ends, or until the server can't go on: its disk failed, or the
// state machine refused to. It closes the data, and may be called once.
func (c *Consensus) Run(ctx context.Context) error {
	streams := newStreams(c.network, c.cfg.ID, c.Cluster, c.isPeer)
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams, MaxPool: 3, Timeout: c.cfg.RequestTimeout, Logger: newHCLog(c.cfg.Logger, "transport"),
		// No pipelining: in raft 1.8 the sender can wait for ever for a reader that has left after a refusal,
		// and then that follower gets nothing more and Shutdown never returns.
		MaxRPCsInFlight: 1,
	})
	notify := make(chan bool, 16)
	r, err := c.start(transport{network, &c.answers, c.log}, notify)
	if err != nil {
		c.stop(nil)
		err = errors.Join(c.fatal, fmt.Errorf("consensus: %w", err), network.Close())
		streams.drain()
		return errors.Join(err, c.log.Close())
	}
	inner, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() { c.follow(inner, notify) })
	parts.Go(func() { c.beginTerms(inner) })
	parts.Go(func() { c.answerReads(inner, r) })
	parts.Go(func() { c.mindSpace(inner) })
	parts.Go(func() { c.remember(inner) })
	select {
	case <-ctx.Done():
		c.endRestore()
	case <-c.dead:
	}
	cancel()
	parts.Wait()
	err = r.Shutdown().Error()
	streams.drain()
	c.stop(nil)
	c.waiters.Wait()
	return errors.Join(advise(c.fatal), err, c.log.Close())
}

// endRestore returns when no snapshot is being restored, and none will be: raft panics when it is shut down
// meanwhile.
func (c *Consensus) endRestore() {
	select {
	case c.restoring <- struct{}{}:
	case <-c.dead:
	}
}

// start creates the cluster if it is new, and the raft node.
func (c *Consensus) start(transport transport, notify chan<- bool) (r *raft.Raft, err error) {
	defer func() {
		if v := recover(); v != nil { // raft panics on a log that it can't read at its start
			err = fmt.Errorf("raft: %v", v)
		}
	}()
	conf := c.cfg.raft()
	known, err := raft.HasExistingState(c.log, c.log, c.snaps)
	if err != nil {
		return nil, err
	}
	if !known && len(c.cfg.Bootstrap) > 0 {
		if err := raft.BootstrapCluster(conf, c.log, c.log, c.snaps, transport, voters(c.cfg.Bootstrap)); err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
	}
	conf.NotifyCh = notify
	// Raft looks at once for a leader when the time-out gets shorter, which spares a lone voter its wait.
	conf.HeartbeatTimeout++
	conf.ElectionTimeout++
	r, err = raft.NewRaft(conf, c.machine, c.log, c.log, c.snaps, transport)
	if err != nil {
		return nil, err
	}
	c.log.armed.Store(true)
	if c.isLoneVoter(r) {
		now := r.ReloadableConfig()
		now.HeartbeatTimeout = c.cfg.HeartbeatTimeout
		if err := r.ReloadConfig(now); err != nil {
			return nil, errors.Join(err, r.Shutdown().Error())
		}
	}
	c.mu.Lock()
	c.raft, c.transport = r, transport
	c.mu.Unlock()
	return r, nil
}

// stop ends Run with an error, unless it has ended already.
func (c *Consensus) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.dead:
	default:
		c.fatal = err
		close(c.dead)
	}
}

// running returns the raft node, or nil if it does not run.
func (c *Consensus) running() *raft.Raft {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raft
}

// errNotLeader is what only the leader could do.
func (c *Consensus) errNotLeader() error {
	if id, ok := c.Leader(); ok {
		return nomadish.Errorf(nomadish.KindNoLeader, "not the leader: it is %s", id)
	}
	return nomadish.Errorf(nomadish.KindNoLeader, "no cluster leader")
}
