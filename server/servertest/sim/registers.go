package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

// What register clients work on.
const (
	variables    = 4 // that all clients write and read
	registerJobs = 3 // jobs that place nothing, likewise
	namespace    = nomadish.DefaultNamespace
	opTimeout    = 2 * time.Second
	clientPause  = 220 * time.Millisecond // at most, between two requests
)

// register is a client that writes and reads variables and jobs, one after the other, at any server.
func (w *world) register(ctx context.Context, id int) {
	c := &client{w: w, id: id, name: fmt.Sprint("c", id), rng: w.rng(streamRegister + uint64(id)), seen: map[place]uint64{}}
	c.target = w.all()[c.rng.IntN(len(w.all()))]
	for ctx.Err() == nil {
		if err := c.step(ctx); err != nil {
			c.elsewhere()
		}
		pause(ctx, time.Duration(c.rng.Int64N(int64(clientPause))))
	}
}

// client makes one request at a time.
type client struct {
	w      *world
	id     int
	name   string
	rng    *rand.Rand
	target *member
	made   int              // values, which are all different
	known  map[string]seen  // what it last saw of each key
	seen   map[place]uint64 // stale reads: the newest index by server's life and key
}

// seen is what a read showed.
type seen struct {
	index uint64
	value string
}

// place is a key as one life of a server shows it.
type place struct {
	life int
	key  string // empty: the whole state
}

// elsewhere chooses another server.
func (c *client) elsewhere() {
	all := c.w.voters()
	c.target = all[c.rng.IntN(len(all))]
}

func (c *client) value() string {
	c.made++
	return fmt.Sprintf("%s-%d", c.name, c.made)
}

// step makes one request.
func (c *client) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(managing(ctx), opTimeout)
	defer cancel()
	v, j := fmt.Sprint("var/k", c.rng.IntN(variables)), fmt.Sprint("reg-", c.rng.IntN(registerJobs))
	if c.rng.IntN(6) == 0 {
		c.elsewhere()
	}
	switch n := c.rng.IntN(100); {
	case n < 14:
		return c.readBack(ctx, v, c.setVariable(ctx, v, nil))
	case n < 26:
		check := c.known[v].index
		return c.setVariable(ctx, v, &check)
	case n < 30:
		return c.deleteVariable(ctx, "var/k0")
	case n < 40: // written once, and kept for ever
		zero := uint64(0)
		return c.setVariable(ctx, "once/"+c.value(), &zero)
	case n < 62:
		return c.readVariable(ctx, v)
	case n < 72:
		return c.readStale(ctx, v)
	case n < 79:
		return c.setJob(ctx, j, false)
	case n < 83:
		return c.setJob(ctx, j, true)
	case n < 88:
		return c.retryJob(j)
	case n < 93:
		return c.retryVariable(v)
	default:
		return c.readJob(ctx, j)
	}
}

func managing(ctx context.Context) context.Context {
	return nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerManagement})
}

// learn keeps what a request has shown of a key, for the next compare-and-set.
func (c *client) learn(key string, s seen) {
	if c.known == nil {
		c.known = map[string]seen{}
	}
	c.known[key] = s
}

// begin opens an operation of the history.
func (c *client) begin(kind opKind, key string) *operation {
	return &operation{Client: c.id, Kind: kind, Key: key, Server: c.target.id, Call: time.Since(c.w.began)}
}

// end puts an operation into the history, as the error says.
func (c *client) end(op *operation, err error) error {
	op.Return = time.Since(c.w.began)
	var conflict *nomadish.VariableConflict
	switch {
	case err == nil:
		op.Outcome = done
	case errors.Is(err, consensus.ErrUnknownOutcome), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		op.Outcome = unknown
	case errors.As(err, &conflict):
		op.Outcome, op.Seen = conflicted, seen{conflict.Current.ModifyIndex, conflict.Current.Items["v"]}
		c.learn(op.Key, op.Seen)
	case op.Kind == casJob && nomadish.KindOf(err) == nomadish.KindConflict:
		op.Outcome = conflicted
	default:
		op.Outcome, op.Error = refused, err.Error()
	}
	if op.Outcome == done && op.Kind != readStale {
		c.learn(op.Key, op.Seen)
	}
	c.w.history.add(op)
	c.w.count(op.counter(), 1)
	if op.Outcome == conflicted {
		return nil
	}
	return err
}

// readBack reads at any server, right after a write was acknowledged, what was written.
func (c *client) readBack(ctx context.Context, key string, wrote error) error {
	if wrote != nil || c.rng.IntN(3) > 0 {
		return wrote
	}
	c.elsewhere()
	return c.readVariable(ctx, key)
}

func (c *client) setVariable(ctx context.Context, path string, check *uint64) error {
	op := c.begin(set, path)
	op.Value = c.value()
	if check != nil {
		op.Kind, op.Expect = cas, *check
	}
	return c.end(op, c.w.ask(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error { return c.putVariable(ctx, s, op) }))
}

// putVariable has the leader do what an operation says.
func (c *client) putVariable(ctx context.Context, s *server.Server, op *operation) error {
	want := &nomadish.Variable{Items: nomadish.VariableItems{"v": op.Value}}
	want.Namespace, want.Path = namespace, op.Key
	var check *uint64
	if op.Kind == cas {
		check = &op.Expect
	}
	got, _, err := s.Variables().Set(ctx, want, check)
	if err == nil {
		op.Seen = seen{got.ModifyIndex, op.Value}
	}
	return err
}

func (c *client) deleteVariable(ctx context.Context, path string) error {
	op := c.begin(remove, path)
	err := c.w.ask(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error {
		_, err := s.Variables().Delete(ctx, namespace, path, nil)
		return err
	})
	return c.end(op, err)
}

// readVariable reads what is newest, at any server.
func (c *client) readVariable(ctx context.Context, path string) error {
	op := c.begin(read, path)
	err := c.w.call(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		return c.look(ctx, s, op)
	})
	return c.end(op, err)
}

// look reads a variable as a server has it now. One that is not there is at index 0.
func (c *client) look(ctx context.Context, s *server.Server, op *operation) error {
	got, _, err := s.Variables().Read(ctx, nil, namespace, op.Key)
	if errors.Is(err, nomadish.ErrNotFound) || nomadish.KindOf(err) == nomadish.KindNotFound && err != nil {
		op.Seen = seen{}
		return nil
	}
	if err == nil {
		op.Seen = seen{got.ModifyIndex, got.Items["v"]}
	}
	return err
}

// readStale reads what a server happens to have. That may be old, and never gets older.
func (c *client) readStale(ctx context.Context, path string) error {
	op := c.begin(readStale, path)
	var life int
	var index uint64
	err := c.w.call(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error {
		if l := c.target.current.Load(); l != nil && l.server == s {
			life = l.number
		}
		index = s.Store().Reader().Index()
		return c.look(ctx, s, op)
	})
	if err == nil && life != 0 {
		c.monotonic(place{life, ""}, index)
		if op.Seen.index > 0 {
			c.monotonic(place{life, path}, op.Seen.index)
		}
	}
	return c.end(op, err)
}

// monotonic compares an index with what the same life of a server showed before.
func (c *client) monotonic(at place, index uint64) {
	if last := c.seen[at]; index < last {
		c.w.violate("I2", "%s showed index %d of %q to %s, and %d before", c.target.id, index, at.key, c.name, last)
	}
	c.seen[at] = index
}

// registerJob is a job that holds a value and places nothing.
func registerJob(id, value string) *nomadish.Job {
	j := newJob(id, 0, 0)
	j.Meta = map[string]string{"v": value}
	return j
}

func (c *client) setJob(ctx context.Context, id string, compare bool) error {
	op := c.begin(setJob, id)
	op.Value = c.value()
	if compare {
		op.Kind, op.Expect = casJob, c.known[id].index
	}
	return c.end(op, c.w.ask(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error { return c.putJob(ctx, s, op) }))
}

// putJob has the leader do what an operation says.
func (c *client) putJob(ctx context.Context, s *server.Server, op *operation) error {
	resp, _, err := s.Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{
		Job: registerJob(op.Key, op.Value), EnforceIndex: op.Kind == casJob, JobModifyIndex: op.Expect,
	})
	if err == nil {
		op.Seen = seen{resp.JobModifyIndex, op.Value}
	}
	return err
}

// retry makes a request with an ID, and makes it again until it is told what has become of it.
func (c *client) retry(op *operation, do func(context.Context, *server.Server) error) error {
	op.Request = nomadish.NewID()
	var err error
	unsure := false // an attempt that nobody answered may have been the one
	for range retries {
		ctx, cancel := context.WithTimeout(nomadish.WithRequestID(managing(c.w.ctx), op.Request), opTimeout/2)
		err = c.w.ask(ctx, c.name, c.target, do)
		cancel()
		lost := errors.Is(err, consensus.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded)
		unsure = unsure || lost
		kind := nomadish.KindOf(err)
		if err == nil || kind == nomadish.KindConflict {
			return c.end(op, err)
		}
		if !lost && kind != nomadish.KindNoLeader && kind != nomadish.KindLimited {
			break // this attempt was refused: an earlier one may have been carried out all the same
		}
		c.elsewhere()
		pause(c.w.ctx, 50*time.Millisecond)
		c.w.count("retried with a request id", 1)
	}
	if unsure {
		err = fmt.Errorf("%w: %w", consensus.ErrUnknownOutcome, err)
	}
	return c.end(op, err)
}

func (c *client) retryJob(id string) error {
	op := c.begin(casJob, id)
	op.Value, op.Expect = c.value(), c.known[id].index
	return c.retry(op, func(ctx context.Context, s *server.Server) error { return c.putJob(ctx, s, op) })
}

func (c *client) retryVariable(path string) error {
	op := c.begin(cas, path)
	op.Value, op.Expect = c.value(), c.known[path].index
	return c.retry(op, func(ctx context.Context, s *server.Server) error { return c.putVariable(ctx, s, op) })
}

// retries bounds how often a request with an ID is made again.
const retries = 6

func (c *client) readJob(ctx context.Context, id string) error {
	op := c.begin(readJob, id)
	err := c.w.call(ctx, c.name, c.target, func(ctx context.Context, s *server.Server) error {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		job, _, err := s.Endpoint().Job(ctx, nil, namespace, id)
		if nomadish.KindOf(err) == nomadish.KindNotFound && err != nil {
			op.Seen = seen{}
			return nil
		}
		if err == nil {
			op.Seen = seen{nomadish.Val(job.JobModifyIndex), job.Meta["v"]}
		}
		return err
	})
	return c.end(op, err)
}
