package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
)

const (
	simClients  = 8
	simKeys     = 5
	simDuration = 15 * time.Second
	simOpsLeast = 50 // per simulated second; fewer have not shown anything
)

// Whatever happens to network, disks and servers: every acknowledged write is kept, on every server, in
// the order of its index, and reads see the newest one. NOMADISH_SIM_SEEDS sets the number of schedules,
// NOMADISH_SIM_SEED runs one of them, NOMADISH_SOAK=1 runs 500.
func TestSimulation(t *testing.T) {
	first, n := uint64(0), envInt(t, "NOMADISH_SIM_SEEDS", 6)
	if os.Getenv("NOMADISH_SOAK") != "" {
		n = envInt(t, "NOMADISH_SIM_SEEDS", 500)
	}
	if testing.Short() {
		n = min(n, 2)
	}
	if seed := envInt(t, "NOMADISH_SIM_SEED", -1); seed >= 0 {
		first, n = uint64(seed), 1
	}
	for i := range uint64(n) {
		t.Run(fmt.Sprintf("seed=%d", first+i), func(t *testing.T) {
			s := &sim{seed: first + i}
			synctest.Test(t, s.run)
			s.judge(t)
		})
	}
}

func envInt(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// sim is one schedule.
type sim struct {
	seed    uint64
	cluster *servertest.Cluster
	began   time.Time
	faults  int

	mu      sync.Mutex
	history []porcupine.Operation
	acked   map[string]uint64 // unique job: its index
	unknown map[string]bool   // unique jobs whose outcome was not seen
}

func (s *sim) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, stream)) }

func (s *sim) run(t *testing.T) {
	s.acked, s.unknown = map[string]uint64{}, map[string]bool{}
	s.cluster = servertest.StartWith(t, servertest.Options{
		Seed: s.seed, Delay: 2 * time.Millisecond,
		Configure: func(c *consensus.Config) {
			c.SnapshotThreshold, c.TrailingEntries, c.SnapshotInterval = 200, 50, 2*time.Second
			c.SegmentSize = 64 << 10
		},
	})
	s.cluster.Leader(t)
	s.began = time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range simClients {
		clients.Go(func() { s.client(ctx, i) })
	}
	s.breakThings(t)
	s.cluster.Leader(t)
	time.Sleep(2 * time.Second) // the cluster must make progress again
	stop()
	clients.Wait()
	converged(t, s.cluster)
	s.checkJobs(t)
}

// client writes and reads one thing after the other, at whichever server it believes in.
func (s *sim) client(ctx context.Context, id int) {
	rng := s.rng(uint64(100 + id))
	target := s.cluster.Servers()[rng.IntN(len(s.cluster.Servers()))]
	for n := 0; ctx.Err() == nil; n++ {
		opCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		var err error
		switch rng.IntN(3) {
		case 0:
			err = s.register(opCtx, target, fmt.Sprintf("c%d-%d", id, n))
		case 1:
			err = s.write(opCtx, target, id, fmt.Sprintf("k%d", rng.IntN(simKeys)), fmt.Sprintf("c%d-%d", id, n))
		case 2:
			err = s.read(opCtx, target, id, fmt.Sprintf("k%d", rng.IntN(simKeys)))
		}
		cancel()
		if err != nil {
			target = s.cluster.Servers()[rng.IntN(len(s.cluster.Servers()))]
		}
		time.Sleep(time.Duration(10+rng.IntN(60)) * time.Millisecond)
	}
}

// register writes a job that is written once only.
func (s *sim) register(ctx context.Context, target *servertest.Server, id string) error {
	res, err := target.Propose(ctx, &fsm.RegisterJob{Job: job(id, id), EnforceIndex: true})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.acked[id] = res.Index
	case errors.Is(err, consensus.ErrUnknownOutcome):
		s.unknown[id] = true
	}
	return err
}

// operation is a write of value to key, or a read of it.
type operation struct {
	write      bool
	key, value string
}

// forever is when an operation returns that nobody saw return.
const forever = int64(1) << 60

func (s *sim) write(ctx context.Context, target *servertest.Server, client int, key, value string) error {
	call := int64(time.Since(s.began))
	_, err := target.Propose(ctx, &fsm.RegisterJob{Job: job(key, value)})
	end := int64(time.Since(s.began))
	if errors.Is(err, consensus.ErrUnknownOutcome) {
		s.note(porcupine.Operation{ClientId: client, Input: operation{true, key, value}, Call: call, Return: forever})
	} else if err == nil {
		s.note(porcupine.Operation{ClientId: client, Input: operation{true, key, value}, Call: call, Return: end})
	}
	return err
}

func (s *sim) read(ctx context.Context, target *servertest.Server, client int, key string) error {
	call := int64(time.Since(s.began))
	state, err := target.Read(ctx)
	if err != nil {
		return err
	}
	var value string
	if j, err := state.Job(nil, "default", key); err == nil {
		value = j.Meta["value"]
	} else if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	s.note(porcupine.Operation{
		ClientId: client, Input: operation{false, key, ""}, Output: value, Call: call, Return: int64(time.Since(s.began)),
	})
	return nil
}

func (s *sim) note(op porcupine.Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, op)
}

// breakThings makes one fault after the other, the leader being hit more often, and mends them all.
func (s *sim) breakThings(t *testing.T) {
	rng := s.rng(7)
	servers := s.cluster.Servers()
	for time.Since(s.began) < simDuration {
		time.Sleep(time.Duration(200+rng.IntN(1500)) * time.Millisecond)
		victim := servers[rng.IntN(len(servers))]
		for _, other := range servers {
			if c := other.Consensus(); c != nil && c.IsLeader() && rng.IntN(2) == 0 {
				victim = other
			}
		}
		hold := time.Duration(300+rng.IntN(4000)) * time.Millisecond
		s.faults++
		switch rng.IntN(6) {
		case 0: // power cut
			s.cluster.Kill(t, victim)
			time.Sleep(hold)
			s.cluster.Restart(t, victim)
		case 1: // power cut of all
			for _, server := range servers {
				s.cluster.Kill(t, server)
			}
			time.Sleep(hold)
			for _, server := range servers {
				s.cluster.Restart(t, server)
			}
		case 2: // cut off
			s.cluster.Disconnect(victim)
			time.Sleep(hold)
			s.cluster.Connect(victim)
		case 3: // speaks, but hears nothing
			s.oneWay(victim, func(other string) (string, string) { return other, victim.ID }, hold)
		case 4: // hears, but says nothing
			s.oneWay(victim, func(other string) (string, string) { return victim.ID, other }, hold)
		case 5: // two servers don't see each other, the third sees both
			other := servers[rng.IntN(len(servers))]
			s.cluster.Net.Cut(victim.ID, other.ID)
			s.cluster.Net.Cut(other.ID, victim.ID)
			time.Sleep(hold)
			s.cluster.Net.Mend(victim.ID, other.ID)
			s.cluster.Net.Mend(other.ID, victim.ID)
		}
	}
}

func (s *sim) oneWay(victim *servertest.Server, way func(other string) (from, to string), hold time.Duration) {
	for _, do := range []func(from, to string){s.cluster.Net.Cut, s.cluster.Net.Mend} {
		for _, other := range s.cluster.Servers() {
			if other != victim {
				do(way(other.ID))
			}
		}
		time.Sleep(hold)
		hold = 0
	}
}

// checkJobs looks for each job that is written once, on each server.
func (s *sim) checkJobs(t *testing.T) {
	for _, server := range s.cluster.Servers() {
		state := server.State()
		found := 0
		for j := range state.Jobs(nil, "default") {
			id := nomadish.Val(j.ID)
			index, acked := s.acked[id]
			switch {
			case id[0] == 'k':
				continue
			case !acked && !s.unknown[id]:
				t.Errorf("%s: job %s is there though its write was refused", server.ID, id)
			case acked && (nomadish.Val(j.CreateIndex) != index || nomadish.Val(j.ModifyIndex) != index):
				t.Errorf("%s: job %s is of index %d to %d, acknowledged at %d",
					server.ID, id, nomadish.Val(j.CreateIndex), nomadish.Val(j.ModifyIndex), index)
			case acked:
				found++
			}
			if nomadish.Val(j.Version) != 0 {
				t.Errorf("%s: job %s was written %d times", server.ID, id, nomadish.Val(j.Version)+1)
			}
		}
		if found != len(s.acked) {
			t.Errorf("%s: %d of %d acknowledged jobs are there", server.ID, found, len(s.acked))
		}
	}
}

// judge checks that the history of keys can have happened one operation at a time.
func (s *sim) judge(t *testing.T) {
	ops := len(s.history) + len(s.acked)
	t.Logf("%d operations, %d unknown, %d faults", ops, len(s.unknown), s.faults)
	if want := int(simDuration/time.Second) * simOpsLeast; ops < want {
		t.Errorf("%d operations, fewer than %d: the schedule proves nothing", ops, want)
	}
	if res := porcupine.CheckOperationsTimeout(registers, s.history, time.Minute); res != porcupine.Ok {
		t.Errorf("history is %s", res)
	}
}

// registers is the model: each key holds what was written last.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(operation).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(operation)
		if in.write {
			return true, in.value
		}
		return output.(string) == state.(string), state
	},
}
