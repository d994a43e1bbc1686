// Package events tells readers what changes in the state, as it changes.
//
// A Buffer follows the state and keeps the newest commands' changes. Each is encoded once,
// when the first reader comes to it, for all readers; without readers nothing is encoded.
//
//	b := events.New(events.Config{}, store)
//	go b.Run(ctx)
//	err := b.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*"}, emit)
//
// Readers hold nothing but a position. One that falls behind what the buffer keeps is cut
// off with an error, and costs the others nothing.
package events

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Config bounds a Buffer.
type Config struct {
	Commands  int           // kept for readers that lag or come back; default 4096
	Idle      int           // commands that are kept while nobody reads; default 256, at least Backlog
	Linger    time.Duration // after the last reader has left, in which it may come back to all; default 5m
	Rows      int           // that those may have changed; default 16384
	Bytes     int           // of encoded events that are kept; default 8 MiB
	Backlog   int           // commands that readers get who ask from index 0; default 100
	Readers   int           // at a time; default 1024
	Heartbeat time.Duration // between signs of life on a quiet stream; default 30s
	Recheck   time.Duration // between looks at what a reader may see; default 1s
}

func (c Config) withDefaults() Config {
	c.Commands = cmp.Or(c.Commands, 4096)
	c.Linger = cmp.Or(c.Linger, 5*time.Minute)
	c.Rows = cmp.Or(c.Rows, 16<<10)
	c.Bytes = cmp.Or(c.Bytes, 8<<20)
	c.Backlog = cmp.Or(c.Backlog, 100)
	c.Idle = min(max(cmp.Or(c.Idle, 256), c.Backlog), c.Commands)
	c.Readers = cmp.Or(c.Readers, 1024)
	c.Heartbeat = cmp.Or(c.Heartbeat, 30*time.Second)
	c.Recheck = cmp.Or(c.Recheck, time.Second)
	return c
}

// Buffer keeps the newest events. Make one with New.
type Buffer struct {
	cfg   Config
	store *state.Store

	mu      sync.Mutex
	ring    []*batch      // those from first to next, by sequence number modulo its length
	first   uint64        // sequence number of the oldest batch that is kept
	next    uint64        // sequence number of the next one
	newest  uint64        // index of the newest command that was followed, with events or without
	rows    int           // in all kept batches
	bytes   int           // of those that are encoded
	more    chan struct{} // closed by the next batch, and when the buffer ends
	ended   bool
	readers int
	left    time.Time // when the last reader left; zero: there was none
}

// batch is what one command changed.
type batch struct {
	index uint64
	seq   uint64
	rows  int
	size  int // of the encoded events, once they are counted

	encoded sync.Once
	changes []state.Change // until they are encoded
	events  []event
	err     error
}

// New returns an empty buffer.
func New(cfg Config, store *state.Store) *Buffer {
	cfg = cfg.withDefaults()
	return &Buffer{cfg: cfg, store: store, ring: make([]*batch, cfg.Commands), more: make(chan struct{})}
}

// Run follows the state until ctx ends. Then all streams end.
func (b *Buffer) Run(ctx context.Context) error {
	defer b.end()
	for {
		reader, follower := b.store.Follow()
		b.restart(reader.Index())
		for {
			c, err := follower.Next(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, state.ErrLagged) {
				break // the state was replaced: what lies between is not known
			}
			if err != nil {
				return err
			}
			b.add(c)
		}
	}
}

// Newest is the index of the newest command whose events readers can have.
func (b *Buffer) Newest() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// add keeps what a command changed.
func (b *Buffer) add(c state.Changes) {
	var told []state.Change // the others need not stay in memory
	for _, change := range c.Changes {
		if telling(change) {
			told = append(told, change)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = c.Index
	if len(told) == 0 {
		return
	}
	b.put(&batch{index: c.Index, rows: len(told), changes: told})
}

func (b *Buffer) put(new *batch) {
	commands := b.cfg.Commands
	if b.readers == 0 && time.Since(b.left) > b.cfg.Linger {
		commands = b.cfg.Idle // rows that nobody may ever ask for are not worth the memory
	}
	for b.next > b.first && (b.next-b.first >= uint64(commands) || b.rows+new.rows > b.cfg.Rows) {
		b.drop()
	}
	new.seq = b.next
	*b.slot(b.next) = new
	b.next++
	b.rows += new.rows
	b.wake()
}

func (b *Buffer) slot(seq uint64) **batch { return &b.ring[seq%uint64(len(b.ring))] }

func (b *Buffer) drop() {
	slot := b.slot(b.first)
	b.rows -= (*slot).rows
	b.bytes -= (*slot).size
	*slot = nil
	b.first++
}

func (b *Buffer) wake() {
	close(b.more)
	b.more = make(chan struct{})
}

// restart forgets everything: what readers have not had is lost to them.
func (b *Buffer) restart(index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.first < b.next {
		b.drop()
	}
	if b.newest > 0 { // not before the first start, when there was nothing to lose
		b.first++
		b.next++
	}
	b.newest = index
	b.wake()
}

func (b *Buffer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake()
}

// text returns the events of a batch, which it encodes if nobody has before.
func (b *Buffer) text(batch *batch) ([]event, error) {
	batch.encoded.Do(func() {
		batch.events, batch.err = encode(batch.index, batch.changes)
		batch.changes = nil
		size := 0
		for _, e := range batch.events {
			size += len(e.text)
		}
		b.count(batch, size)
	})
	return batch.events, batch.err
}

// count takes note of a batch's size, and drops the oldest batches where that is too much.
func (b *Buffer) count(batch *batch, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if batch.seq < b.first {
		return // dropped meanwhile
	}
	batch.size = size
	b.bytes += size
	for b.bytes > b.cfg.Bytes && b.next-b.first > 1 {
		b.drop()
	}
}

// errTooSlow ends the stream of a reader that fell behind.
func (b *Buffer) errTooSlow(index uint64) error {
	return nomadish.Errorf(nomadish.KindLimited,
		"event stream: events after index %d are lost, as this reader was too slow (%d commands, %d rows or %d bytes of events are kept) or the server's state was replaced: ask for the state anew",
		index, b.cfg.Commands, b.cfg.Rows, b.cfg.Bytes)
}
