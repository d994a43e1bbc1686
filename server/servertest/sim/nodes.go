package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
)

// What a client node has.
const (
	nodeCPU     = 4000
	nodeMemory  = 900 // all jobs together fit on one node less than there are, and just so
	taskMemory  = 100
	staticPort  = 8080
	portsFrom   = 20000
	portsTo     = 20400
	watchWait   = 2 * time.Second // that a node waits for news at most
	reportEvery = 150 * time.Millisecond
	failRate    = 60   // one in so many allocations fails by itself
	restartsIn  = 9000 // milliseconds at most until a task is started again, where it is
)

// node is a client node: it registers, renews its lease, starts and stops what it is told to, and reports.
type node struct {
	w    *world
	name string
	noun *nomadish.Node
	rng  *rand.Rand

	mu      sync.Mutex
	target  *member
	alive   bool             // its machine has power
	running map[string]*work // by allocation
	index   uint64           // of the newest answer about allocations
	count   int
	boots   int // goes up with each change of its power: what was asked for before is no answer
}

// work is an allocation on its node.
type work struct {
	status  string
	since   time.Time
	due     time.Time // when the next thing happens by itself
	stop    bool
	told    said // what servers have acknowledged
	failing bool
}

// said is what a node tells of an allocation: its status, and since when its task has been running.
type said struct {
	status string
	since  time.Time
}

func (w *work) says() said { return said{w.status, w.since} }

// kept says that an allocation shows what was told of it, or what came after that.
func (s said) kept(a *nomadish.Allocation) bool {
	if a.ClientTerminal() || s.status != nomadish.AllocClientRunning {
		return a.ClientTerminal()
	}
	t := a.TaskStates["t"]
	return t != nil && !t.StartedAt.Before(s.since)
}

func newNode(w *world, i int) *node {
	n := &node{
		w: w, name: fmt.Sprint("n", i), rng: w.rng(streamNode + uint64(i)), alive: true, running: map[string]*work{},
		noun: &nomadish.Node{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), SecretID: "s", Name: fmt.Sprint("n", i), Datacenter: "dc1",
			Attributes: map[string]string{"kernel.name": "linux"}, ComputedClass: "v1:1",
			Drivers: map[string]*nomadish.DriverInfo{"mock": {Detected: true, Healthy: true}},
			NodeResources: &nomadish.NodeResources{
				Cpu:    nomadish.NodeCpuResources{CpuShares: nodeCPU, TotalCpuCores: 4},
				Memory: nomadish.NodeMemoryResources{MemoryMB: nodeMemory}, Disk: nomadish.NodeDiskResources{DiskMB: 100_000},
				MinDynamicPort: portsFrom, MaxDynamicPort: portsTo,
				NodeNetworks: []*nomadish.NodeNetwork{{Device: "eth0", Addresses: []nomadish.NodeNetworkAddress{{Alias: "default", Address: "10.0.0.1"}}}},
			},
		},
	}
	n.target = w.all()[i%len(w.all())]
	return n
}

// run is the node's life, until ctx ends.
func (n *node) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, part := range []func(context.Context){n.lease, n.watch, n.work} {
		parts.Go(func() { part(ctx) })
	}
}

// on says whether the node has power; parts wait for it.
func (n *node) on() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alive
}

// server returns whom the node speaks with. After a failure that is another one.
func (n *node) server() *member {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target
}

func (n *node) elsewhere() {
	all := n.w.voters()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target = all[n.rng.IntN(len(all))]
}

// lease registers the node and renews its lease.
func (n *node) lease(ctx context.Context) {
	registered := false
	for ctx.Err() == nil {
		if !n.on() {
			registered = false
			pause(ctx, 100*time.Millisecond)
			continue
		}
		var lease *nomadish.NodeLease
		tryCtx, cancel := context.WithTimeout(ctx, time.Second)
		err := n.w.ask(tryCtx, n.name, n.server(), func(ctx context.Context, s *server.Server) (err error) {
			if !registered {
				copied := *n.noun
				lease, err = s.Endpoint().RegisterNode(ctx, &copied)
				return err
			}
			lease, err = s.Endpoint().Heartbeat(ctx, n.noun.ID, nomadish.NodeStatusReady)
			return err
		})
		cancel()
		if err != nil {
			n.elsewhere()
			pause(ctx, 200*time.Millisecond)
			continue
		}
		registered = true
		n.w.count("leases renewed", 1)
		pause(ctx, lease.HeartbeatTTL/2)
	}
}

// watch follows what servers want of the node. Any server may be asked; one that knows less than was known
// before is not believed.
func (n *node) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if !n.on() {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		n.mu.Lock()
		since, count, boot := n.index, n.count, n.boots
		n.mu.Unlock()
		tryCtx, cancel := context.WithTimeout(ctx, watchWait+time.Second)
		var got *nomadish.NodeAllocations
		err := n.w.call(tryCtx, n.name, n.server(), func(ctx context.Context, s *server.Server) (err error) {
			got, err = await(ctx, s, n.noun.ID, since, count)
			return err
		})
		cancel()
		if err != nil || got.Index < since {
			n.elsewhere()
			pause(ctx, 100*time.Millisecond)
			continue
		}
		n.take(got, boot)
	}
}

// await asks until there is news, as the HTTP API does for a request with an index.
func await(ctx context.Context, s *server.Server, id string, since uint64, count int) (*nomadish.NodeAllocations, error) {
	waiting, cancel := context.WithTimeout(ctx, watchWait)
	defer cancel()
	for {
		ws := memdb.NewWatchSet()
		got, index, err := s.Endpoint().NodeAllocations(ctx, ws, id, since, count)
		if err != nil || index > since || waiting.Err() != nil {
			return got, err
		}
		if err := ws.WatchCtx(waiting); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// take notes what is wanted.
func (n *node) take(got *nomadish.NodeAllocations, boot int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.boots != boot {
		return
	}
	n.index, n.count = got.Index, got.Count
	now := time.Now()
	for _, a := range got.Allocs {
		w := n.running[a.ID]
		if w == nil && a.ServerTerminal() { // it never ran here, or has been forgotten
			n.running[a.ID] = &work{status: nomadish.AllocClientPending, stop: true, due: now}
			continue
		}
		if w == nil {
			n.running[a.ID] = &work{
				status: nomadish.AllocClientPending, due: now.Add(n.some(300)), failing: !n.w.calm.Load() && n.rng.IntN(failRate) == 0,
			}
			continue
		}
		if a.ServerTerminal() && !w.stop {
			w.stop, w.due = true, now.Add(n.some(300))
		}
	}
	for _, id := range got.Ended {
		delete(n.running, id)
	}
	if got.Listed != nil {
		maps.DeleteFunc(n.running, func(id string, _ *work) bool { return !slices.Contains(got.Listed, id) })
	}
}

// some returns a time of up to that many milliseconds.
func (n *node) some(ms int) time.Duration { return time.Duration(1+n.rng.IntN(ms)) * time.Millisecond }

// work starts and stops, and reports.
func (n *node) work(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, reportEvery)
		if !n.on() {
			continue
		}
		news := n.turn()
		if len(news) == 0 {
			continue
		}
		tryCtx, cancel := context.WithTimeout(ctx, time.Second)
		err := n.w.ask(tryCtx, n.name, n.server(), func(ctx context.Context, s *server.Server) error {
			_, err := s.Endpoint().UpdateAllocations(ctx, n.noun.ID, news)
			return err
		})
		cancel()
		if err != nil {
			n.elsewhere()
			continue
		}
		n.told(news)
	}
}

// turn lets happen what is due and returns what there is to report.
func (n *node) turn() []*nomadish.Allocation {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var news []*nomadish.Allocation
	for _, id := range slices.Sorted(maps.Keys(n.running)) {
		w := n.running[id]
		if !w.due.IsZero() && !now.Before(w.due) {
			n.step(w, now)
		}
		if w.says() != w.told && w.status != nomadish.AllocClientPending {
			news = append(news, &nomadish.Allocation{ID: id, ClientStatus: w.status, TaskStates: w.tasks()})
		}
	}
	return news
}

// step is what happens to an allocation next.
func (n *node) step(w *work, now time.Time) {
	w.due = time.Time{}
	switch {
	case w.status == nomadish.AllocClientComplete || w.status == nomadish.AllocClientFailed:
	case w.stop:
		w.status = nomadish.AllocClientComplete
	case w.status == nomadish.AllocClientPending:
		w.status, w.since, w.due = nomadish.AllocClientRunning, now, now.Add(n.some(restartsIn))
		if w.failing {
			w.due = now.Add(n.some(3000))
		}
	case w.failing:
		w.status = nomadish.AllocClientFailed
		n.w.count("allocations that failed", 1)
	case !n.w.calm.Load():
		w.since, w.due = now, now.Add(n.some(restartsIn))
		n.w.count("tasks started again", 1)
	}
}

func (w *work) tasks() map[string]*nomadish.TaskState {
	s := &nomadish.TaskState{State: nomadish.TaskStateRunning, StartedAt: w.since}
	if w.status != nomadish.AllocClientRunning {
		s.State, s.Failed = nomadish.TaskStateDead, w.status == nomadish.AllocClientFailed
	}
	return map[string]*nomadish.TaskState{"t": s}
}

// told notes that servers have acknowledged a report.
func (n *node) told(news []*nomadish.Allocation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range news {
		what := said{a.ClientStatus, a.TaskStates["t"].StartedAt}
		n.w.ledger.reported(a.ID, what)
		if w := n.running[a.ID]; w != nil {
			w.told = what
		}
	}
}

// power cuts the machine's power, which ends all that runs on it, or gives it back.
func (n *node) power(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive = on
	n.boots++
	n.running, n.index, n.count = map[string]*work{}, 0, 0
}

// active returns the allocations that run on the node.
func (n *node) active() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := map[string]bool{}
	for id, w := range n.running {
		if w.status == nomadish.AllocClientRunning {
			ids[id] = true
		}
	}
	return ids
}

// says tells what the node knows of an allocation.
func (n *node) says(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	what := "it does not know it"
	if w := n.running[id]; w != nil {
		what = fmt.Sprintf("it is %s there, told %q, to stop: %t", w.status, w.told.status, w.stop)
	}
	return fmt.Sprintf("%s; it has power: %t, asks %s, knows %d allocations of index %d", what, n.alive, n.target.id, n.count, n.index)
}
