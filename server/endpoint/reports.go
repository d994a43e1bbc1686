package endpoint

import (
	"context"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// Bounds of what nodes report together.
const (
	reportAllocs  = 1024             // allocations in one entry of the log
	reportEntries = 2                // entries under way at once: one is written while the next gathers
	reportTimeout = 10 * time.Second // for one entry
)

// gathering puts what many nodes report at the same time into one entry of the log. The first
// whose report is in a batch proposes it for all, as soon as not too many others are under way;
// until then the batch grows. A report that comes alone waits for nobody.
type gathering struct {
	propose func(ctx context.Context, c fsm.Command) (index uint64, err error)
	turn    chan struct{} // held by who proposes

	mu   sync.Mutex
	open *batch // the one that still grows; nil: none
}

// batch is one entry.
type batch struct {
	command fsm.UpdateAllocsFromNode
	allocs  int
	judged  map[jobName]bool // jobs that have an evaluation in it

	done  chan struct{} // closed when the rest is set
	index uint64
	err   error
}

type jobName struct{ namespace, id string }

func newGathering(propose func(ctx context.Context, c fsm.Command) (uint64, error)) *gathering {
	return &gathering{propose: propose, turn: make(chan struct{}, reportEntries)}
}

// add has a node's report replicated, with the evaluations that follow from it, and returns the
// index at which it was. An end of ctx leaves open whether it will be.
func (g *gathering) add(ctx context.Context, report *fsm.NodeReport, evals []*nomadish.Evaluation) (uint64, error) {
	b, first := g.join(report, evals)
	if first {
		// Others wait for it, so that it does not end with the one who happened to be first.
		g.send(b)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if len(b.command.Reports) > 1 && b.err != nil && nomadish.KindOf(b.err) == nomadish.KindTooLarge {
		return g.propose(ctx, &fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{report}, Evals: evals})
	}
	return b.index, b.err
}

// join puts a report into the batch that grows, or begins one.
func (g *gathering) join(report *fsm.NodeReport, evals []*nomadish.Evaluation) (b *batch, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b = g.open
	if first = b == nil || b.allocs+len(report.Allocs) > reportAllocs; first {
		b = &batch{done: make(chan struct{}), judged: map[jobName]bool{}}
		g.open = b
	}
	b.command.Reports = append(b.command.Reports, report)
	b.allocs += len(report.Allocs)
	for _, e := range evals {
		if name := (jobName{e.Namespace, e.JobID}); !b.judged[name] {
			b.judged[name] = true
			b.command.Evals = append(b.command.Evals, e)
		}
	}
	return b, first
}

// send proposes a batch when it is its turn.
func (g *gathering) send(b *batch) {
	g.turn <- struct{}{} // those before it end within reportTimeout
	defer func() { <-g.turn }()
	g.mu.Lock()
	if g.open == b {
		g.open = nil
	}
	g.mu.Unlock()
	// Nothing of a request's context may reach the others' reports.
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	b.index, b.err = g.propose(ctx, &b.command)
	close(b.done)
}
