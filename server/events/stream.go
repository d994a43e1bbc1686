package events

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// heartbeat is the line that says that nothing has happened.
var heartbeat = []byte("{}\n")

// keepLine is the size up to which a reader's line is kept for the next one.
const keepLine = 256 << 10

// reader is a place in the buffer.
type reader struct {
	*Buffer
	req   *nomadish.EventRequest
	seq   uint64 // of the next batch
	from  uint64 // index of the first command that is wanted
	until uint64 // index that the state had at the beginning
	index uint64 // of the last line
	line  []byte
	known map[place]bool // what the reader may see, until it is asked anew
}

type place struct{ topic, namespace string }

// StreamEvents calls emit with lines of JSON, each with the events of one command, in order
// and without a gap: first a heartbeat, then what the request asks for, as it happens. It
// ends without an error when ctx ends or the buffer does, and with emit's. The lines are
// emit's until it returns.
func (b *Buffer) StreamEvents(ctx context.Context, req *nomadish.EventRequest, emit func(line []byte) error) error {
	r, err := b.enter(req)
	if err != nil {
		return err
	}
	defer b.leave()
	if err := emit(heartbeat); err != nil {
		return err
	}
	tick := time.NewTicker(min(b.cfg.Recheck, b.cfg.Heartbeat))
	defer tick.Stop()
	written := time.Now()
	ready := make(chan struct{})
	close(ready)
	for {
		line, more, err := r.read(ctx)
		switch {
		case err != nil:
			return err
		case line != nil:
			if err := emit(line); err != nil {
				return err
			}
			written = time.Now()
			more = ready // go on, unless it is time to look
		case more == nil || req.Once && r.caughtUp():
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.recheck(ctx); err != nil {
				return err
			}
			if time.Since(written) >= b.cfg.Heartbeat {
				if err := emit(heartbeat); err != nil {
					return err
				}
				written = time.Now()
			}
		case <-more:
		}
	}
}

// enter finds where a reader begins.
func (b *Buffer) enter(req *nomadish.EventRequest) (*reader, error) {
	applied := b.store.Reader().Index()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers >= b.cfg.Readers {
		return nil, nomadish.Errorf(nomadish.KindLimited, "event stream: %d readers are the most that this server takes", b.cfg.Readers)
	}
	b.readers++
	r := &reader{Buffer: b, req: req, seq: b.next, until: applied, known: map[place]bool{}}
	kept := int(b.next - b.first)
	switch {
	case req.FromNow || req.Index > max(applied, b.newest)+1:
	case req.Index == 0:
		r.seq = b.next - uint64(min(kept, b.cfg.Backlog))
	default:
		r.from = req.Index
		r.seq = b.first + uint64(sort.Search(kept, func(i int) bool {
			return (*b.slot(b.first + uint64(i))).index >= req.Index
		}))
	}
	return r, nil
}

func (b *Buffer) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers--; b.readers == 0 {
		b.left = time.Now()
	}
}

// read returns the next line that the reader wants, or a channel that closes when there may
// be one. Both are nil when the buffer has ended.
func (r *reader) read(ctx context.Context) (line []byte, more <-chan struct{}, err error) {
	for {
		batch, more, err := r.poll()
		if err != nil || batch == nil {
			return nil, more, err
		}
		events, err := r.text(batch)
		if err != nil {
			return nil, nil, err
		}
		if line := r.compose(ctx, batch.index, events); line != nil {
			return line, nil, nil
		}
		if ctx.Err() != nil {
			return nil, nil, nil
		}
	}
}

// caughtUp says that the reader has had all that had happened when it came.
func (r *reader) caughtUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq == r.next && r.newest >= r.until
}

// poll takes the next batch.
func (r *reader) poll() (*batch, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended:
		return nil, nil, nil
	case r.seq < r.first:
		return nil, nil, r.errTooSlow(r.index)
	case r.seq == r.next:
		return nil, r.more, nil
	}
	b := *r.slot(r.seq)
	r.seq++
	return b, nil, nil
}

// compose makes a line of the events that the reader wants and may see; nil if there are none.
func (r *reader) compose(ctx context.Context, index uint64, events []event) []byte {
	if index < r.from {
		return nil
	}
	if cap(r.line) > keepLine {
		r.line = nil
	}
	line := append(r.line[:0], `{"Index":`...)
	line = append(strconv.AppendUint(line, index, 10), `,"Events":[`...)
	empty := len(line)
	for i := range events {
		e := &events[i]
		if !r.wants(e) || !r.may(ctx, e) {
			continue
		}
		if len(line) > empty {
			line = append(line, ',')
		}
		line = append(line, e.text...)
	}
	r.line = line
	if len(line) == empty {
		return nil
	}
	r.index = index
	r.line = append(line, "]}\n"...)
	return r.line
}

func (r *reader) wants(e *event) bool {
	if e.namespace != "" && r.req.Namespace != "*" && r.req.Namespace != e.namespace {
		return false
	}
	if len(r.req.Topics) == 0 {
		return true
	}
	return slices.ContainsFunc(r.req.Topics, func(t nomadish.EventTopic) bool {
		if t.Topic != nomadish.TopicAll && t.Topic != e.topic {
			return false
		}
		return t.Key == "" || t.Key == "*" || slices.Contains(e.keys, t.Key)
	})
}

// may says that the reader may see an event.
func (r *reader) may(ctx context.Context, e *event) bool {
	if r.req.Allowed == nil {
		return true
	}
	p := place{e.topic, e.namespace}
	allowed, ok := r.known[p]
	if !ok {
		allowed = r.req.Allowed(ctx, e.topic, e.namespace)
		r.known[p] = allowed
	}
	return allowed
}

// recheck has everything that the reader may see asked anew.
func (r *reader) recheck(ctx context.Context) error {
	clear(r.known)
	if r.req.Check == nil {
		return nil
	}
	return r.req.Check(ctx)
}
