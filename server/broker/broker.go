// Package broker holds the evaluations that wait to be worked on: the most urgent first, one
// per job at a time, each handed out again when its worker does not finish it.
//
//	b := broker.New(broker.Config{})
//	go b.Run(ctx) // watches the clock
//	b.Enqueue(eval)
//	d, err := b.Dequeue(ctx, "service", "batch")
//	b.Ack(d.Eval.ID, d.Token)
//
// An evaluation compares all that a job wants with all that runs, so while one of a job is
// being worked on, a single further one can stand in for all that arrive meanwhile. The
// others are superseded; see [Broker.Superseded].
//
// The package keeps no state that matters: what is pending is in the cluster's state, and
// a new leader fills a new Broker from there.
package broker

import (
	"context"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Failed is the type under which Dequeue hands out evaluations that were delivered too often.
const Failed = "_failed"

// Config sets the bounds of a Broker.
type Config struct {
	NackTimeout   time.Duration // a delivery that takes longer is handed out again; default 60s
	NackDelay     time.Duration // before an evaluation given back once is handed out again; default 1s
	NackDelayMore time.Duration // the same when it was given back more often; default 20s
	DeliveryLimit int           // deliveries before an evaluation is Failed; default 3
	MaxWaiting    int           // evaluations held at most; default 262144
	// Now is the clock that evaluations' WaitUntil is compared with; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.NackTimeout <= 0 {
		c.NackTimeout = time.Minute
	}
	if c.NackDelay <= 0 {
		c.NackDelay = time.Second
	}
	if c.NackDelayMore <= 0 {
		c.NackDelayMore = 20 * time.Second
	}
	if c.DeliveryLimit <= 0 {
		c.DeliveryLimit = 3
	}
	if c.MaxWaiting <= 0 {
		c.MaxWaiting = 262_144
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Delivery is an evaluation in the hands of a worker.
type Delivery struct {
	Eval  *nomadish.Evaluation
	Token string // proves to Ack, Nack and Extend that the worker still owns it
	// Index is the oldest state that answers this evaluation and those that it stands in for.
	Index uint64
	Count int // how often it has been delivered
}

// Broker is safe for concurrent use.
type Broker struct {
	cfg Config

	mu         sync.Mutex
	entries    map[string]*entry // by evaluation
	jobs       map[jobKey]*job
	ready      map[string]*queue // by type
	timers     queue             // delayed and delivered entries by deadline
	superseded []*nomadish.Evaluation
	paused     bool
	changed    chan struct{} // closed and replaced when something is ready
	timer      chan struct{} // tells Run that the nearest deadline has changed
}

type jobKey struct{ namespace, id string }

// job serialises the evaluations of one job.
type job struct {
	active *entry // ready, delivered or failed
	next   *entry // waits for the active one, or nil
}

// New returns an empty Broker. Its deadlines pass only while Run runs.
func New(cfg Config) *Broker {
	return &Broker{
		cfg:     cfg.withDefaults(),
		entries: map[string]*entry{},
		jobs:    map[jobKey]*job{},
		ready:   map[string]*queue{},
		timers:  queue{before: sooner},
		changed: make(chan struct{}),
		timer:   make(chan struct{}, 1),
	}
}

// Enqueue offers an evaluation. One that is known already is left as it is, or offered again
// when its worker is done, if it is newer than what the worker got. An evaluation with a
// WaitUntil in the future waits for that time.
func (b *Broker) Enqueue(eval *nomadish.Evaluation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[eval.ID]; e != nil {
		if e.token != "" && eval.ModifyIndex > e.eval.ModifyIndex {
			e.again = eval
		}
		return nil
	}
	if len(b.entries) >= b.cfg.MaxWaiting {
		return nomadish.Errorf(nomadish.KindLimited, "evaluation broker: max_waiting is %d", b.cfg.MaxWaiting)
	}
	b.add(eval)
	return nil
}

func (b *Broker) add(eval *nomadish.Evaluation) {
	e := &entry{eval: eval, index: eval.ModifyIndex}
	b.entries[eval.ID] = e
	if wait := b.wait(eval); wait > 0 {
		b.deadline(e, wait)
		return
	}
	b.offer(e)
}

// wait is how long an evaluation is still to wait: never longer than when it was made, whatever the
// clock of its maker said.
func (b *Broker) wait(eval *nomadish.Evaluation) time.Duration {
	if eval.WaitUntil.IsZero() {
		return 0
	}
	wait := eval.WaitUntil.Sub(b.cfg.Now())
	// Where the log's time is ahead of the clocks, it says nothing of how long the maker wanted to wait.
	if wanted := eval.WaitUntil.Sub(time.Unix(0, eval.CreateTime)); eval.CreateTime > 0 && wanted > 0 {
		wait = min(wait, wanted)
	}
	return wait
}

// offer makes an entry ready, or lets it wait for the active one of its job.
func (b *Broker) offer(e *entry) {
	key := e.key()
	j := b.jobs[key]
	if j == nil {
		j = &job{}
		b.jobs[key] = j
	}
	if j.active == nil {
		j.active = e
		b.push(e)
		return
	}
	if j.next == nil {
		j.next = e
		return
	}
	stays, goes := e, j.next
	if !byUser(stays.eval) && byUser(goes.eval) {
		stays, goes = goes, stays
	}
	stays.index = max(stays.index, goes.index)
	j.next = stays
	delete(b.entries, goes.eval.ID)
	b.superseded = append(b.superseded, goes.eval)
	b.signal()
}

// byUser says that somebody is likely to look at what becomes of this evaluation.
func byUser(e *nomadish.Evaluation) bool {
	switch e.TriggeredBy {
	case nomadish.EvalTriggerJobRegister, nomadish.EvalTriggerJobDeregister, nomadish.EvalTriggerAllocStop, nomadish.EvalTriggerScaling:
		return true
	}
	return false
}

// push puts an entry into the queue of its type.
func (b *Broker) push(e *entry) {
	kind := e.eval.Type
	if e.count >= b.cfg.DeliveryLimit {
		kind = Failed
	}
	q := b.ready[kind]
	if q == nil {
		q = &queue{before: moreUrgent}
		b.ready[kind] = q
	}
	q.push(e)
	b.signal()
}

func (b *Broker) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Dequeue waits for the most urgent evaluation of one of the types and hands it out. It
// returns the cause of ctx when that ends first.
func (b *Broker) Dequeue(ctx context.Context, types ...string) (*Delivery, error) {
	for {
		b.mu.Lock()
		d := b.take(types)
		changed := b.changed
		b.mu.Unlock()
		if d != nil {
			return d, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *Broker) take(types []string) *Delivery {
	var best *queue
	for _, t := range types {
		if b.paused && t != Failed {
			continue
		}
		if q := b.ready[t]; q != nil && q.len() > 0 && (best == nil || moreUrgent(q.first(), best.first())) {
			best = q
		}
	}
	if best == nil {
		return nil
	}
	e := best.pop()
	e.token = nomadish.NewID()
	e.count++
	b.deadline(e, b.cfg.NackTimeout)
	return &Delivery{Eval: e.eval, Token: e.token, Index: e.index, Count: e.count}
}

// held returns the entry that a token owns.
func (b *Broker) held(evalID, token string) (*entry, error) {
	e := b.entries[evalID]
	if e == nil || token == "" || e.token != token {
		return nil, nomadish.Errorf(nomadish.KindConflict, "evaluation %s is not held with this token", evalID)
	}
	return e, nil
}

// Ack says that an evaluation is done with. The next one of its job becomes ready.
func (b *Broker) Ack(evalID, token string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, err := b.held(evalID, token)
	if err != nil {
		return err
	}
	b.drop(e)
	if e.again != nil {
		b.add(e.again)
	}
	return nil
}

// drop forgets an entry and lets the next one of its job follow.
func (b *Broker) drop(e *entry) {
	if e.queue != nil {
		e.queue.remove(e)
	}
	delete(b.entries, e.eval.ID)
	key := e.key()
	j := b.jobs[key]
	if j == nil {
		return
	}
	if j.next == e {
		j.next = nil
	}
	if j.active == e {
		j.active, j.next = j.next, nil
		if j.active != nil {
			b.push(j.active)
		}
	}
	if j.active == nil {
		delete(b.jobs, key)
	}
}

// Nack gives an evaluation back: it is handed out again after a while.
func (b *Broker) Nack(evalID, token string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, err := b.held(evalID, token)
	if err != nil {
		return err
	}
	b.nack(e)
	return nil
}

func (b *Broker) nack(e *entry) {
	b.timers.remove(e)
	e.token = ""
	if e.count >= b.cfg.DeliveryLimit {
		b.push(e)
		return
	}
	wait := b.cfg.NackDelay
	if e.count > 1 {
		wait = b.cfg.NackDelayMore
	}
	b.deadline(e, wait)
}

// Extend gives the holder of an evaluation the whole NackTimeout again.
func (b *Broker) Extend(evalID, token string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, err := b.held(evalID, token)
	if err != nil {
		return err
	}
	b.timers.remove(e)
	b.deadline(e, b.cfg.NackTimeout)
	return nil
}

// Remove forgets an evaluation that is over, unless a worker holds it.
func (b *Broker) Remove(evalID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[evalID]; e != nil && e.token == "" {
		b.drop(e)
	}
}

// Supersede adds an evaluation to those that Superseded returns.
func (b *Broker) Supersede(eval *nomadish.Evaluation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.superseded = append(b.superseded, eval)
	b.signal()
}

// Pause stops, or lets again, evaluations be handed out. Failed ones are always.
func (b *Broker) Pause(paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused != paused {
		b.paused = paused
		b.signal()
	}
}

// Superseded returns, once, the evaluations that others stand in for: they are to be cancelled.
func (b *Broker) Superseded() []*nomadish.Evaluation {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := b.superseded
	b.superseded = nil
	return gone
}

// Changed returns a channel that closes when something became ready or was superseded.
func (b *Broker) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}
