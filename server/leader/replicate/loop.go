package replicate

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// loop replicates one kind.
type loop struct {
	r    *Replicator
	kind kind

	index uint64   // of the last answer all of which is here; 0: all is to be compared
	known int      // rows by that answer; -1: the keys of all are to be told
	total int      // rows by that answer
	left  []string // what is gone there, and in use here
}

// run makes passes until ctx ends. A pass that leaves something undone is followed by one that
// compares all, soon at first.
func (l *loop) run(ctx context.Context) {
	retry := l.r.cfg.Retry
	for ctx.Err() == nil {
		began := time.Now()
		err := l.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		l.tell(err)
		pause := l.r.cfg.Every - time.Since(began)
		switch {
		case err != nil:
			pause, retry = retry, min(2*retry, l.r.cfg.Wait/3)
		case len(l.left) > 0:
			// What is kept here as it is in use may be so for long: changes are seen meanwhile.
			_ = l.await(ctx, retry)
			l.index = 0
			pause, retry = l.r.cfg.Every, min(2*retry, l.r.cfg.Wait/3)
		default:
			retry = l.r.cfg.Retry
		}
		_ = lifecycle.Sleep(ctx, pause) // the loop sees that ctx has ended
	}
}

// answerGrace is how long an answer may take beyond what it waits for.
const answerGrace = 15 * time.Second

func (l *loop) ask(ctx context.Context, q nomadish.SharedQuery) (*nomadish.SharedRows, error) {
	q.Kind = l.kind.name()
	ctx, cancel := context.WithTimeout(ctx, q.Wait+answerGrace)
	defer cancel()
	return l.r.source(ctx, q)
}

// await waits for a change, and no longer than d.
func (l *loop) await(ctx context.Context, d time.Duration) error {
	_, err := l.ask(ctx, nomadish.SharedQuery{Index: l.index, Wait: d, Known: l.known})
	return err
}

// pass asks what has changed, waiting for it if all is here, and makes it so here. What is refused at
// first is tried again when all else is done: what has its name may be gone by then.
func (l *loop) pass(ctx context.Context) error {
	l.left = nil
	asked := l.index
	page, err := l.ask(ctx, nomadish.SharedQuery{Index: l.index, Wait: l.r.cfg.Wait, Known: l.known})
	if err != nil {
		return err
	}
	var rows []nomadish.SharedRow // that are refused, to be tried again after all others
	for {
		refused, err := l.put(ctx, page.Rows)
		if err != nil {
			return err
		}
		rows = append(rows, refused...)
		if !page.More {
			break
		}
		if page, err = l.ask(ctx, nomadish.SharedQuery{From: page.Index, Known: -1}); err != nil {
			return err
		}
	}
	if page.Keys != nil {
		if l.left, err = l.remove(ctx, page.Keys); err != nil {
			return err
		}
	}
	if err := l.retry(ctx, rows); err != nil {
		l.index, l.known = 0, -1
		return err
	}
	l.index, l.known, l.total = page.Index, page.Total, page.Total
	if len(l.left) > 0 {
		l.known = -1
	}
	if page.Index < asked {
		l.index, l.known = 0, -1 // the authoritative region is not what it was
	}
	return nil
}

// retry stores rows that were refused: what they wait for may be here by now, or be among them.
func (l *loop) retry(ctx context.Context, rows []nomadish.SharedRow) error {
	refused, err := l.put(ctx, rows)
	for _, row := range refused {
		if failed := l.putOne(ctx, row); failed != nil {
			return failed
		}
	}
	return err
}

// put stores rows that differ from what is here, many with one command. It returns those that were
// refused.
func (l *loop) put(ctx context.Context, rows []nomadish.SharedRow) (refused []nomadish.SharedRow, err error) {
	for len(rows) > 0 {
		n := batch(rows)
		part := rows[:n]
		rows = rows[n:]
		command, err := l.kind.put(l.r.store.Reader(), part)
		if err == nil && command != nil {
			_, _, err = l.r.raft.Propose(ctx, command)
		}
		switch {
		case err == nil:
		case unavailable(ctx, err):
			return nil, err
		case n == 1:
			refused = append(refused, part...)
		default:
			for _, row := range part {
				if l.putOne(ctx, row) != nil {
					refused = append(refused, row)
				}
			}
		}
	}
	return refused, nil
}

func (l *loop) putOne(ctx context.Context, row nomadish.SharedRow) error {
	command, err := l.kind.put(l.r.store.Reader(), []nomadish.SharedRow{row})
	if err == nil && command != nil {
		_, _, err = l.r.raft.Propose(ctx, command)
	}
	return err
}

// Bounds of one command.
const (
	maxBatch      = 128
	maxBatchBytes = 256 << 10
)

// batch is how many of rows go into one command.
func batch(rows []nomadish.SharedRow) int {
	size := 0
	for i, row := range rows {
		if size += len(row.Row); i > 0 && (i >= maxBatch || size > maxBatchBytes) {
			return i
		}
	}
	return len(rows)
}

// remove deletes what is here and not among keys, and returns what is still in use here.
func (l *loop) remove(ctx context.Context, keys []string) (left []string, err error) {
	gone, err := l.kind.surplus(l.r.store.Reader(), keys)
	if err != nil {
		return nil, err
	}
	for len(gone) > 0 {
		part := gone[:min(len(gone), maxBatch)]
		gone = gone[len(part):]
		_, _, err := l.r.raft.Propose(ctx, l.kind.remove(part))
		if err == nil {
			continue
		}
		if unavailable(ctx, err) {
			return nil, err
		}
		for _, key := range part {
			_, _, err := l.r.raft.Propose(ctx, l.kind.remove([]string{key}))
			switch {
			case err == nil || nomadish.KindOf(err) == nomadish.KindNotFound:
			case unavailable(ctx, err):
				return nil, err
			default:
				left = append(left, key+": "+err.Error())
			}
		}
	}
	return left, nil
}

// unavailable says that an error is no answer to the command.
func unavailable(ctx context.Context, err error) bool {
	kind := nomadish.KindOf(err)
	return ctx.Err() != nil || kind == nomadish.KindNoLeader || kind == nomadish.KindInternal
}

// tell notes how a pass went, and logs what has changed by it.
func (l *loop) tell(err error) {
	name, was, is := l.kind.name(), "", ""
	if err != nil {
		is = err.Error()
	}
	l.r.note(name, func(s *nomadish.ReplicationKind) {
		was, s.LastError, s.Kept = s.LastError, is, l.left
		if err == nil {
			s.LastSuccess, s.Index, s.Rows = l.r.cfg.Now().UTC(), l.index, l.total
		}
	})
	switch {
	case is == was:
	case err != nil:
		l.r.cfg.Logger.Warn("what all regions share is not replicated", "kind", name, "from", l.r.cfg.Authoritative, "err", err)
	default:
		l.r.cfg.Logger.Info("what all regions share is replicated again", "kind", name, "from", l.r.cfg.Authoritative)
	}
}
