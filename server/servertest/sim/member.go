package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/leader/evals"
	"github.com/nomadish/nomadish/server/leader/liveness"
	"github.com/nomadish/nomadish/server/secrets"
)

// dataDir is a server's directory on its disk.
const dataDir = "server"

// member is one server through all its restarts.
type member struct {
	id       string
	founder  bool // it is of the servers that made the cluster
	disk     disk
	offset   atomic.Int64         // of its wall clock, in nanoseconds
	current  atomic.Pointer[life] // nil while it is down
	term     atomic.Uint64        // the newest that it was seen in
	isMember atomic.Bool          // it is to be a voter
	// confirmed: it was acknowledged that it is one, and nobody has asked to remove it since.
	confirmed atomic.Bool
	removed   atomic.Bool // it never starts again
	claimed   atomic.Bool // some fault is about its machine
}

// life is a server from a start to its end.
type life struct {
	number int
	server *server.Server
	dead   chan struct{} // closed when its power is cut, so that nothing waits for its disk
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run; set when ended is closed
	killed atomic.Bool
}

// up returns the server while it runs.
func (m *member) up() *server.Server {
	if l := m.current.Load(); l != nil {
		return l.server
	}
	return nil
}

func (m *member) now() time.Time { return time.Now().Add(time.Duration(m.offset.Load())) }

// leads says that the member believes to lead.
func (m *member) leads() bool {
	s := m.up()
	return s != nil && s.Consensus().IsLeader()
}

// boot starts a member with what its disk has. While its disk has faults it may fail, which is no wonder.
func (w *world) boot(m *member) {
	if m.current.Load() != nil || m.removed.Load() {
		return
	}
	w.checkTerm(m)
	l := &life{number: int(w.lives.Add(1)), dead: make(chan struct{}), ended: make(chan struct{})}
	var err error
	l.server, err = server.New(w.config(m, l), w.net.Listen(m.id))
	if err != nil {
		w.net.Unplug(m.id)
		if !m.disk.harmed() {
			w.violate("I1", "%s does not start with the disk that it was left with: %v", m.id, err)
		}
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	l.cancel = cancel
	m.current.Store(l)
	w.log.Info("START", "member", m.id, "life", l.number)
	go func() {
		defer close(l.ended)
		l.err = l.server.Run(ctx)
		if !l.killed.Load() && w.ctx.Err() == nil {
			w.gaveUp(m, l)
		}
	}()
	w.observe(m, l)
	w.count("server starts", 1)
}

// gaveUp takes note of a server that ended by itself, as it does when its disk fails, or is full at a moment
// at which it can't be. Its process ends.
func (w *world) gaveUp(m *member, l *life) {
	m.current.CompareAndSwap(l, nil)
	w.net.Unplug(m.id)
	w.log.Info("GAVE UP", "member", m.id, "life", l.number, "err", l.err)
	if !m.mayFail(l.err) {
		w.violate("I1", "%s ended by itself: %v", m.id, l.err)
	}
	w.count("servers that gave up", 1)
}

// mayFail says whether the member's disk is a reason to end with err.
func (m *member) mayFail(err error) bool {
	return m.disk.harmed() || errors.Is(err, logstore.ErrFull)
}

func (w *world) config(m *member, l *life) server.Config {
	var founders []string
	if m.founder {
		founders = w.founders
	}
	log := w.log.With("server", m.id)
	return server.Config{
		ID: m.id, Dir: dataDir, FS: m.disk.begin(l.dead), Bootstrap: founders, Now: m.now, Logger: log,
		Keyring:   secrets.Config{Wrappers: []secrets.Wrapper{w.wrapper}},
		AskLeader: func(ctx context.Context) (uint64, error) { return w.askLeader(ctx, m) },
		AskServer: func(ctx context.Context, id string) (*nomadish.ServerReport, error) { return w.askServer(ctx, m, id) },
		Consensus: w.consensus,
		Evals:     evals.Config{Workers: 2, RetryFailed: 5 * time.Second},
		Liveness:  liveness.Config{MinTTL: 2 * time.Second, Grace: 2 * time.Second, Failover: 6 * time.Second},
	}
}

// kill cuts members' power, of all at the same moment: what their disks had not synced is lost in part or whole.
func (w *world) kill(all ...*member) {
	var dying []*life
	for _, m := range all {
		l := m.current.Load()
		w.noteTerm(m)
		first := l != nil && l.killed.CompareAndSwap(false, true)
		m.disk.crash(rand.New(rand.NewPCG(w.crashes.Uint64(), 0)))
		w.net.Unplug(m.id)
		if first {
			m.current.Store(nil)
			close(l.dead)
			l.cancel()
			w.log.Info("KILLED", "member", m.id, "life", l.number)
			dying = append(dying, l)
		}
	}
	for _, l := range dying {
		<-l.ended
	}
}

// stop ends a member in order, with what its disk has.
func (w *world) stop(m *member) {
	l := m.current.Load()
	if l == nil || !l.killed.CompareAndSwap(false, true) {
		return
	}
	w.noteTerm(m)
	m.current.Store(nil)
	l.cancel()
	<-l.ended
	w.log.Info("STOPPED", "member", m.id, "life", l.number, "err", l.err)
	w.net.Unplug(m.id)
	if l.err != nil && !errors.Is(l.err, vfs.ErrCrashed) && !m.mayFail(l.err) {
		w.violate("I1", "%s stopped with %v", m.id, l.err)
	}
}

// noteTerm remembers the newest term that a member is known to have been in.
func (w *world) noteTerm(m *member) {
	if s := m.up(); s != nil {
		if t := s.Consensus().CurrentTerm(); t > m.term.Load() {
			m.term.Store(t)
		}
	}
}

// checkTerm compares a member's disk with what it said before: a server that forgets its term votes twice.
func (w *world) checkTerm(m *member) {
	if m.term.Load() == 0 || m.disk.harmed() {
		return
	}
	log, err := logstore.Open(logstore.Config{FS: m.disk.copy(), Dir: path.Join(dataDir, "raft"), SegmentSize: w.consensus.SegmentSize})
	if err != nil {
		return // the server will say so
	}
	term, err := log.GetUint64([]byte("CurrentTerm"))
	if err = errors.Join(err, log.Close()); err != nil || term < m.term.Load() {
		w.violate("I3", "%s was in term %d and starts in term %d, %v", m.id, m.term.Load(), term, err)
	}
}

// member returns one by its ID.
func (w *world) member(id string) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.members, func(m *member) bool { return m.id == id })
	if i < 0 {
		return nil
	}
	return w.members[i]
}

// all returns the members, oldest first.
func (w *world) all() []*member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.members)
}

// voters returns those that are to be in the cluster.
func (w *world) voters() []*member {
	return slices.DeleteFunc(w.all(), func(m *member) bool { return !m.isMember.Load() })
}

// leader is a member that believes to lead, or nil.
func (w *world) leader() *member {
	for _, m := range w.voters() {
		if m.leads() {
			return m
		}
	}
	return nil
}

// add makes a member with an empty disk; it is down.
func (w *world) add(founder bool) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &member{id: fmt.Sprintf("s%d", len(w.members)+1), founder: founder}
	m.disk.mem = vfs.NewMem()
	w.members = append(w.members, m)
	return m
}

// errRefused is a request of which nothing came, for certain.
var errRefused = nomadish.Errorf(nomadish.KindNoLeader, "the server was not reached")

// call has a server do something for somebody else. An error that is consensus.ErrUnknownOutcome leaves open
// whether it was done.
func (w *world) call(ctx context.Context, from string, m *member, do func(context.Context, *server.Server) error) error {
	if err := w.net.Pass(ctx, from, m.id); err != nil {
		return errRefused
	}
	l := m.current.Load()
	if l == nil {
		return errRefused
	}
	err := do(ctx, l.server)
	if m.current.Load() != l {
		return fmt.Errorf("%w: the server died", consensus.ErrUnknownOutcome)
	}
	if lost := w.net.Pass(ctx, m.id, from); lost != nil {
		return fmt.Errorf("%w: no answer: %w", consensus.ErrUnknownOutcome, lost)
	}
	return err
}

// hops is how many servers a request passes on its way to the leader at most.
const hops = 2

// forward has the leader do something that a member was asked for. It may have to be passed on once more,
// where the leader is another by then.
func (w *world) forward(ctx context.Context, m *member, s *server.Server, do func(context.Context, *server.Server) error) error {
	return w.pass(ctx, m, s, hops, do)
}

func (w *world) pass(ctx context.Context, m *member, s *server.Server, left int, do func(context.Context, *server.Server) error) error {
	if s.Consensus().IsLeader() {
		return do(ctx, s)
	}
	id, ok := s.Consensus().Leader()
	leader := w.member(id)
	if !ok || leader == nil || leader == m || left == 0 {
		return nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	}
	w.count("forwarded", 1)
	return w.call(ctx, m.id, leader, func(ctx context.Context, s *server.Server) error { return w.pass(ctx, leader, s, left-1, do) })
}

// ask is what clients do: they ask any server, which passes on what only the leader can do.
func (w *world) ask(ctx context.Context, from string, m *member, do func(context.Context, *server.Server) error) error {
	return w.call(ctx, from, m, func(ctx context.Context, s *server.Server) error { return w.forward(ctx, m, s, do) })
}

func (w *world) askLeader(ctx context.Context, m *member) (index uint64, err error) {
	s := m.up()
	if s == nil {
		return 0, errRefused
	}
	err = w.forward(ctx, m, s, func(ctx context.Context, s *server.Server) error {
		index, err = s.CommitIndex(ctx)
		return err
	})
	return index, err
}

func (w *world) askServer(ctx context.Context, m *member, id string) (report *nomadish.ServerReport, err error) {
	other := w.member(id)
	if other == nil {
		return nil, errRefused
	}
	err = w.call(ctx, m.id, other, func(ctx context.Context, s *server.Server) error {
		report, err = s.Report(ctx)
		return err
	})
	return report, err
}

// newLog returns a logger that keeps the newest records for the file of a failed run.
func newLog(k *keeper) *slog.Logger { return slog.New(logHandler{keeper: k}) }

// keeper holds the newest lines of a log.
type keeper struct {
	mu    sync.Mutex
	lines []line
	next  int
}

type line struct {
	at     time.Time
	server string
	text   string
	attrs  []slog.Attr
}

const keptLines = 20_000

func (k *keeper) add(l line) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.lines) < keptLines {
		k.lines = append(k.lines, l)
		return
	}
	k.lines[k.next] = l
	k.next = (k.next + 1) % keptLines
}

// inOrder returns the lines, oldest first.
func (k *keeper) inOrder() []line {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.lines[k.next:], k.lines[:k.next])
}

// logHandler keeps records as they are: they are written out only when they are wanted.
type logHandler struct {
	keeper *keeper
	server string
	attrs  []slog.Attr
}

// Enabled implements slog.Handler.
func (logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	h.keeper.add(line{r.Time, h.server, r.Message, attrs})
	return nil
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "server" && h.server == "" {
			h.server = a.Value.String()
			continue
		}
		h.attrs = append(slices.Clip(h.attrs), a)
	}
	return h
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(string) slog.Handler { return h }
