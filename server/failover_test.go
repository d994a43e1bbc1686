package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/servertest"
	"github.com/nomadish/nomadish/server/state"
)

const (
	nodes      = 6
	nodeMemory = 3000
	taskMemory = 100
	writers    = 8
	jobsEach   = 6 // of up to 3 allocations: all fit
	losses     = 8
	ackedLeast = 200 // registrations; fewer have not shown anything
)

// While leaders lose their power or their network one after the other: every acknowledged registration is kept,
// on every server, all servers have the same state, and every job gets exactly what it asks
// for, with nothing given away twice. NOMADISH_SIM_SEED runs one schedule, NOMADISH_SOAK=1
// runs 100.
func TestLeadersAreLost(t *testing.T) {
	first, n := uint64(0), uint64(2)
	if os.Getenv("NOMADISH_SOAK") != "" {
		n = 100
	}
	if v := os.Getenv("NOMADISH_SIM_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failover{t: t, seed: seed, cluster: start(t, seed), counts: map[string][]int{}}
				f.run()
			})
		})
	}
}

// failover is one schedule.
type failover struct {
	*cluster
	t    *testing.T
	seed uint64

	mu      sync.Mutex
	counts  map[string][]int // job: its count, or the ones that it may have as an outcome was not seen
	acked   int
	unknown int
	reads   int
}

func (f *failover) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(f.seed, stream)) }

func (f *failover) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.awaitLeader(f.t, nil)
	writing, stop := context.WithCancel(ctx)
	var fakes, clients sync.WaitGroup
	for i := range nodes {
		fakes.Go(func() { f.node(ctx, i) })
	}
	for i := range writers {
		clients.Go(func() { f.write(writing, i) })
	}
	f.loseLeaders()
	stop()
	clients.Wait()
	f.awaitPlaced("when all is well again")
	cancel()
	fakes.Wait()
	f.converge(f.t)
	for _, m := range f.members {
		if err := f.placed(m.now.Load().Store().Reader()); err != nil {
			f.t.Errorf("%s: %v", m.id, err)
		}
	}
	f.t.Logf("%d registrations acknowledged, %d with an outcome that nobody saw, %d reads", f.acked, f.unknown, f.reads)
	if f.acked < ackedLeast || f.reads == 0 {
		f.t.Error("that proves nothing")
	}
}

// loseLeaders takes away one leader after the other: its power, or its network, or now and
// then the power of all servers at once.
func (f *failover) loseLeaders() {
	rng := f.random(9)
	for range losses {
		time.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
		victims := []*member{f.awaitLeader(f.t, nil)}
		away := time.Duration(rng.IntN(3000)) * time.Millisecond
		switch rng.IntN(4) {
		case 0:
			f.cutOff(victims[0], away)
			continue
		case 1:
			victims = f.members
		}
		for _, m := range victims {
			f.kill(f.t, m)
		}
		time.Sleep(away)
		for _, m := range victims {
			f.boot(f.t, m)
		}
	}
}

// cutOff separates a server from the others for a while.
func (f *failover) cutOff(m *member, away time.Duration) {
	for _, do := range []func(from, to string){f.net.Cut, f.net.Mend} {
		for _, other := range f.members {
			if other != m {
				do(m.id, other.id)
				do(other.id, m.id)
			}
		}
		time.Sleep(away)
		away = 0
	}
}

// attempt has the leader do something, until it says that it has or may have.
func (f *failover) attempt(ctx context.Context, do func(context.Context, *endpoint.Endpoint) error) (known bool) {
	for ctx.Err() == nil {
		s, err := f.leading()
		if err == nil {
			tryCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
			err = do(tryCtx, s.Endpoint())
			cancel()
		}
		if err == nil {
			return true
		}
		if kind := nomadish.KindOf(err); kind != nomadish.KindNoLeader && kind != nomadish.KindLimited {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// write registers jobs again and again, with another count nearly each time.
func (f *failover) write(ctx context.Context, writer int) {
	rng := f.random(uint64(100 + writer))
	for ctx.Err() == nil {
		id, count := fmt.Sprintf("w%d-%d", writer, rng.IntN(jobsEach)), 1+rng.IntN(3)
		known := f.attempt(ctx, func(ctx context.Context, e *endpoint.Endpoint) error {
			_, _, err := e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob(id, count)})
			return err
		})
		f.note(id, count, known)
		if known {
			f.readBack(ctx, rng, id, count)
		}
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
	}
}

func (f *failover) note(id string, count int, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known {
		f.acked++
		f.counts[id] = []int{count}
		return
	}
	f.unknown++
	if f.counts[id] == nil {
		f.counts[id] = []int{0} // it may not be there at all
	}
	f.counts[id] = append(f.counts[id], count)
}

// readBack reads at any server what was acknowledged just now.
func (f *failover) readBack(ctx context.Context, rng *rand.Rand, id string, count int) {
	s := f.members[rng.IntN(len(f.members))].now.Load()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s == nil || s.Sync(ctx) != nil {
		return // it is down, or has no leader
	}
	job, _, err := s.Endpoint().Job(ctx, nil, "default", id)
	if err != nil || nomadish.Val(job.TaskGroups[0].Count) != count {
		f.t.Errorf("job %s was acknowledged with count %d; read: %+v, %v", id, count, job, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
}

// node is a client node: it registers, renews its lease, and runs what it is given.
func (f *failover) node(ctx context.Context, i int) {
	n := newNode(i)
	register := func(ctx context.Context, e *endpoint.Endpoint) error {
		_, err := e.RegisterNode(ctx, n)
		return err
	}
	for !f.attempt(ctx, register) && ctx.Err() == nil {
	}
	for beat := 0; ctx.Err() == nil; beat++ {
		f.attempt(ctx, func(ctx context.Context, e *endpoint.Endpoint) error {
			if beat%10 == 0 {
				if _, err := e.Heartbeat(ctx, n.ID, nomadish.NodeStatusReady); err != nil {
					return err
				}
			}
			given, _, err := e.NodeAllocations(ctx, nil, n.ID, 0, 0)
			if err != nil {
				return err
			}
			_, err = e.UpdateAllocations(ctx, n.ID, reports(given.Allocs))
			return err
		})
		time.Sleep(200 * time.Millisecond)
	}
}

// reports is what a node says of its allocations: those that are to run do, the others have ended.
func reports(given []*nomadish.Allocation) []*nomadish.Allocation {
	var out []*nomadish.Allocation
	for _, a := range given {
		status := nomadish.AllocClientRunning
		if a.ServerTerminal() {
			status = nomadish.AllocClientComplete
		}
		if a.ClientStatus != status && !a.ClientTerminal() {
			out = append(out, &nomadish.Allocation{ID: a.ID, ClientStatus: status})
		}
	}
	return out
}

func newNode(i int) *nomadish.Node {
	return &nomadish.Node{
		ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), SecretID: "s", Name: fmt.Sprint("n", i), Datacenter: "dc1",
		Attributes: map[string]string{"kernel.name": "linux"}, ComputedClass: "v1:1",
		Drivers: map[string]*nomadish.DriverInfo{"mock": {Detected: true, Healthy: true}},
		NodeResources: &nomadish.NodeResources{
			Cpu: nomadish.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4}, Memory: nomadish.NodeMemoryResources{MemoryMB: nodeMemory},
			Disk: nomadish.NodeDiskResources{DiskMB: 100_000}, MinDynamicPort: 20000, MaxDynamicPort: 20050,
			NodeNetworks: []*nomadish.NodeNetwork{{Device: "eth0", Addresses: []nomadish.NodeNetworkAddress{{Alias: "default", Address: "10.0.0.1"}}}},
		},
	}
}

// awaitPlaced waits until the leader has everything placed.
func (f *failover) awaitPlaced(when string) {
	f.t.Helper()
	servertest.Eventually(f.t, "all that jobs ask for, "+when, func() error {
		s, err := f.leading()
		if err != nil {
			return err
		}
		return f.placed(s.Store().Reader())
	})
}

// placed says what is missing or too much: each job has the allocations that it asks for, of
// its newest version, and no node more than it has room for.
func (f *failover) placed(r state.Reader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, counts := range f.counts {
		job, err := r.Job(nil, "default", id)
		if err != nil && counts[0] == 0 {
			continue // nobody was told that it is there
		}
		if err != nil {
			return fmt.Errorf("job %s was acknowledged: %w", id, err)
		}
		if err := placedJob(r, job, counts); err != nil {
			return err
		}
	}
	return overbooked(r)
}

func placedJob(r state.Reader, job *nomadish.Job, counts []int) error {
	id, count := nomadish.Val(job.ID), nomadish.Val(job.TaskGroups[0].Count)
	allowed := false
	for _, c := range counts {
		allowed = allowed || c == count
	}
	if !allowed {
		return fmt.Errorf("job %s has count %d, registered were %d", id, count, counts)
	}
	names := map[string]bool{}
	for a := range r.AllocationsByJob(nil, "default", id) {
		if a.Terminal() {
			continue
		}
		if names[a.Name] || a.JobVersion != nomadish.Val(job.Version) || a.ClientStatus != nomadish.AllocClientRunning {
			return fmt.Errorf("%s: version %d of %d, %s, twice: %t", a.Name, a.JobVersion, nomadish.Val(job.Version), a.ClientStatus, names[a.Name])
		}
		names[a.Name] = true
	}
	if len(names) != count {
		return fmt.Errorf("job %s runs %d times, want %d", id, len(names), count)
	}
	return nil
}

// overbooked looks for a node that has given away more memory than it has, or a port twice.
func overbooked(r state.Reader) error {
	memory, ports := map[string]int64{}, map[string]string{}
	for a := range r.Allocations(nil) {
		if a.Terminal() {
			continue
		}
		for _, t := range a.AllocatedResources.Tasks {
			memory[a.NodeID] += t.Memory.MemoryMB
		}
		if memory[a.NodeID] > nodeMemory {
			return fmt.Errorf("node %s has given away %d MiB of %d", a.NodeID, memory[a.NodeID], nodeMemory)
		}
		if len(a.AllocatedResources.Shared.Ports) != 1 {
			return fmt.Errorf("%s has %d ports, want 1", a.Name, len(a.AllocatedResources.Shared.Ports))
		}
		place := fmt.Sprint(a.NodeID, " port ", a.AllocatedResources.Shared.Ports[0].Value)
		if other := ports[place]; other != "" {
			return fmt.Errorf("%s is of %s and of %s", place, other, a.Name)
		}
		ports[place] = a.Name
	}
	return nil
}
