package endpoint

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// recorder takes a second for every entry.
type recorder struct {
	mu      sync.Mutex
	entries []*fsm.UpdateAllocsFromNode
	most    int // reports in one entry that are not too large; 0: any
}

func (r *recorder) propose(ctx context.Context, c fsm.Command) (uint64, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	command := c.(*fsm.UpdateAllocsFromNode)
	if r.most > 0 && len(command.Reports) > r.most {
		return 0, nomadish.Errorf(nomadish.KindTooLarge, "too many")
	}
	r.entries = append(r.entries, command)
	return uint64(len(r.entries)), nil
}

// report is one node's, of an allocation of a job that it has evaluated.
func (g *gathering) report(t *testing.T, node int, done *sync.WaitGroup) {
	t.Helper()
	done.Go(func() {
		id := fmt.Sprintf("n%d", node)
		_, err := g.add(t.Context(), &fsm.NodeReport{NodeID: id, Allocs: make([]*nomadish.Allocation, 4)},
			[]*nomadish.Evaluation{{Namespace: "default", JobID: "web"}})
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})
}

// What comes while entries are under way shares the next one, with one evaluation per job.
func TestReportsShareEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := newGathering(r.propose)
		var done sync.WaitGroup
		for i := range 200 {
			g.report(t, i, &done)
			synctest.Wait()
		}
		done.Wait()
		seen := map[string]int{}
		for _, e := range r.entries {
			for _, report := range e.Reports {
				seen[report.NodeID]++
			}
			if len(e.Evals) != 1 {
				t.Errorf("%d evaluations of one job in an entry, want 1", len(e.Evals))
			}
		}
		if len(seen) != 200 {
			t.Errorf("%d nodes' reports are in the log, want 200", len(seen))
		}
		if got := len(r.entries); got != 3 {
			t.Errorf("%d entries, want one each for the first two, and one for the others", got)
		}
	})
}

// A batch that is too large as a whole goes report by report.
func TestReportsThatAreTooLargeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{most: 1}
		g := newGathering(r.propose)
		var done sync.WaitGroup
		for i := range 10 {
			g.report(t, i, &done)
			synctest.Wait()
		}
		done.Wait()
		if got := len(r.entries); got != 10 {
			t.Errorf("%d entries, want 10", got)
		}
	})
}

// Who gives up waiting takes nobody's report away.
func TestReportsOutliveTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := newGathering(r.propose)
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		for range reportEntries {
			g.report(t, 0, &done)
			synctest.Wait()
		}
		done.Go(func() {
			_, _ = g.add(ctx, &fsm.NodeReport{NodeID: "gone"}, nil) // it leads a batch, and its caller goes
		})
		synctest.Wait()
		g.report(t, 1, &done)
		synctest.Wait()
		cancel()
		done.Wait()
		if last := r.entries[len(r.entries)-1]; len(last.Reports) != 2 {
			t.Errorf("%d reports in the last entry, want 2", len(last.Reports))
		}
	})
}
