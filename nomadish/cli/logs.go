package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func logsCommand() command {
	return command{
		words: "logs", args: "JOB", summary: "Print what all tasks of a job have written, and go on with it",
		help: `  JOB is a job's ID or the beginning of one; or an allocation, as in alloc logs. The output
  of all its allocations and tasks is printed, standard output and standard error, each line
  behind the group, the number and the task that wrote it. Without -f one stream follows
  the other; with -f lines come as they are written, also of allocations that are placed
  later, until the job is dead or an interrupt ends the command.

  Output is kept without times. With -since it begins with the file that was written since
  then, by the node's clock, and lines that begin with a time and its zone
  (2006-01-02T15:04:05Z, time=…, or JSON's "time") are left out where they are older. Where
  lines have none, older ones may be among the first; -n takes the last lines instead.`,
		example: `  nomadish logs -f web
  nomadish logs -since 10m -f web
  nomadish logs -n 20 -task nginx -stderr web
  nomadish logs -json web/0`,
		exits: `  0    all is printed
  1    failed, for one stream at least; standard error says why
  64   the command line is wrong
  130  an interrupt ended the command`,
		run: runLogs,
	}
}

// logReader reads what the tasks of a job have written.
type logReader struct {
	*call
	client *api.Client
	jobID  string
	query  api.Query
	tail   tailFlags
	alloc  string // one allocation alone; empty: all of the job
	group  string // empty: all
	task   string // empty: all
	kinds  []string
	asJSON bool
	plain  bool          // lines without a prefix
	since  time.Duration // 0: all
	note   func()        // that lines may be older than since

	mu    sync.Mutex
	width int // of the widest prefix so far
	hues  map[string]int
	seen  map[logSource]bool
	errs  []error
}

// logSource is one stream of one task.
type logSource struct{ alloc, task, kind string }

// logLine is a line as -json prints it.
type logLine struct {
	Allocation string
	Name       string
	Task       string
	Stream     string
	Line       string
}

// Bounds of reading logs.
const (
	maxLogStreams = 256      // streams of a job that are followed at a time
	maxLogLine    = 64 << 10 // longer lines are printed in pieces
)

func runLogs(ctx context.Context, c *call) error {
	l := &logReader{call: c}
	stdout, stderr := false, false
	c.remoteFlags()
	c.args = tailCount(c.args)
	l.tail.register(c)
	c.flags.DurationVar(&l.since, "since", 0, "begin with what was written in the last while, such as 10m; see below how well that is known")
	c.flags.BoolVar(&stdout, "stdout", false, "print standard output alone")
	c.flags.BoolVar(&stderr, "stderr", false, "print standard error alone")
	c.flags.StringVar(&l.task, "task", "", "`name` of a task: print that of others not")
	c.flags.StringVar(&l.group, "group", "", "`name` of a group: print that of others not")
	c.flags.BoolVar(&l.asJSON, "json", false, "print an object per line: Allocation, Name, Task, Stream, Line")
	c.flags.BoolVar(&l.plain, "no-prefix", false, "print lines as they were written")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := l.tail.check(c); err != nil {
		return err
	}
	if l.since < 0 || l.since > 0 && (l.tail.lines > 0 || l.tail.bytes > 0) {
		return c.misused("-since is a time such as 10m, and excludes -n, -c and -tail")
	}
	l.client, l.note = client, l.noteOnce()
	switch {
	case stdout && !stderr:
		l.kinds = []string{"stdout"}
	case stderr && !stdout:
		l.kinds = []string{"stderr"}
	}
	if err := l.find(ctx, c.args[0]); err != nil {
		return err
	}
	if l.tail.follow {
		return l.follow(ctx)
	}
	return l.once(ctx)
}

// find finds the job, or the allocation, that a word means.
func (l *logReader) find(ctx context.Context, word string) error {
	job, _, err := l.findJob(ctx, l.client, word)
	if err == nil {
		l.jobID, l.query.Namespace = job.ID, job.Namespace
		return nil
	}
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	a, err := l.findAllocation(ctx, l.client, word)
	if err != nil {
		return err
	}
	l.jobID, l.query.Namespace, l.alloc = a.JobID, a.Namespace, a.ID
	return nil
}

// sources lists what there is to read now: of each allocation, each task's streams.
func (l *logReader) sources(all []*nomadish.AllocationListStub) map[logSource]*nomadish.AllocationListStub {
	out := map[logSource]*nomadish.AllocationListStub{}
	kinds := l.kinds
	if len(kinds) == 0 {
		kinds = []string{"stdout", "stderr"}
	}
	for _, a := range all {
		if l.alloc != "" && a.ID != l.alloc || l.group != "" && a.TaskGroup != l.group {
			continue
		}
		for name, t := range a.TaskStates {
			if l.task != "" && name != l.task || t.StartedAt.IsZero() {
				continue
			}
			for _, kind := range kinds {
				out[logSource{a.ID, name, kind}] = a
			}
		}
	}
	return out
}

// ordered sorts sources by the age of their allocations, then by name.
func ordered(sources map[logSource]*nomadish.AllocationListStub) []logSource {
	out := make([]logSource, 0, len(sources))
	for s := range sources {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b logSource) int {
		x, y := sources[a], sources[b]
		return cmp.Or(cmp.Compare(x.CreateIndex, y.CreateIndex), cmp.Compare(x.Name, y.Name), cmp.Compare(a.alloc, b.alloc),
			cmp.Compare(a.task, b.task), -cmp.Compare(a.kind, b.kind))
	})
	return out
}

// once prints what there is, a stream after the other.
func (l *logReader) once(ctx context.Context) error {
	all, _, err := l.client.Jobs().Allocations(ctx, l.jobID, false, &l.query)
	if err != nil {
		return err
	}
	sources := l.sources(all)
	for s := range sources {
		l.measure(sources[s], s)
	}
	for _, s := range ordered(sources) {
		l.copy(ctx, s, sources[s])
	}
	return errors.Join(l.errs...)
}

// follow prints what is written, of new allocations too, until the job is dead.
func (l *logReader) follow(ctx context.Context) error {
	var streams sync.WaitGroup
	defer streams.Wait()
	l.seen = map[logSource]bool{}
	var index uint64
	for {
		q := l.query
		q.MinIndex, q.Wait = index, pollLongest
		all, meta, err := l.client.Jobs().Allocations(ctx, l.jobID, false, &q)
		if err != nil {
			return err
		}
		index = meta.Index
		sources := l.sources(all)
		for _, s := range ordered(sources) {
			if l.seen[s] {
				continue
			}
			if len(l.seen) == maxLogStreams {
				return fmt.Errorf("job %q has more than %d streams of logs: choose with -task, -group, -stdout, or name an allocation", l.jobID, maxLogStreams)
			}
			l.seen[s] = true
			l.measure(sources[s], s)
			streams.Go(func() { l.copy(ctx, s, sources[s]) })
		}
		if over, err := l.over(ctx, all); over || err != nil {
			streams.Wait()
			return errors.Join(append(l.errs, err)...)
		}
		if err := pause(ctx, pollPause); err != nil {
			return err
		}
	}
}

// over says that nothing more will be written.
func (l *logReader) over(ctx context.Context, all []*nomadish.AllocationListStub) (bool, error) {
	for _, a := range all {
		if !ended(a) && (l.alloc == "" || a.ID == l.alloc) {
			return false, nil
		}
	}
	if l.alloc != "" {
		return true, nil
	}
	job, _, err := l.client.Jobs().Job(ctx, l.jobID, &l.query)
	if errors.Is(err, nomadish.ErrNotFound) {
		return true, nil
	}
	return err == nil && nomadish.Val(job.Status) == nomadish.JobStatusDead, err
}

// copy prints one stream. What goes wrong is told at the end: other streams go on.
func (l *logReader) copy(ctx context.Context, s logSource, a *nomadish.AllocationListStub) {
	w := &lineWriter{emit: func(line []byte) error { return l.line(s, a, line) }}
	err := l.read(ctx, s, w)
	err = errors.Join(err, w.flush())
	if err != nil && !errors.Is(err, nomadish.ErrNotFound) && ctx.Err() == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.errs = append(l.errs, fmt.Errorf("%s of task %q of allocation %s (%s): %w", s.kind, s.task, short(s.alloc), a.Name, err))
	}
}

// read writes the part of a stream that is wanted.
func (l *logReader) read(ctx context.Context, s logSource, w *lineWriter) error {
	open := func(ctx context.Context, offset int64, origin string, follow bool) iter.Seq2[*nomadish.StreamFrame, error] {
		return l.client.Files().Logs(ctx, &nomadish.LogRequest{
			AllocID: s.alloc, Task: s.task, Type: s.kind, Offset: offset, Origin: origin, Follow: follow,
		})
	}
	if l.since == 0 {
		return l.tail.print(ctx, w, open)
	}
	from, err := l.sinceOf(ctx, s)
	switch {
	case err != nil:
		return err
	case from.none && !l.tail.follow:
		return nil
	}
	wanted, print := &sinceFilter{at: from.at, untimed: l.note}, w.emit
	w.emit = func(line []byte) error {
		if !wanted.wants(line) {
			return nil
		}
		return print(line)
	}
	return pour(w, open(ctx, from.start, "start", l.tail.follow))
}

// prefix is what stands before the lines of a task.
func (l *logReader) prefix(a *nomadish.AllocationListStub, s logSource) string {
	return fmt.Sprintf("%s[%d] %s", a.TaskGroup, max(0, allocIndex(a.Name)), s.task)
}

// measure makes room for the prefix of a stream, and chooses the color of its allocation.
func (l *logReader) measure(a *nomadish.AllocationListStub, s logSource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.width = min(maxNameColumns, max(l.width, columns(l.prefix(a, s))))
	if l.hues == nil {
		l.hues = map[string]int{}
	}
	if _, ok := l.hues[a.ID]; !ok {
		l.hues[a.ID] = len(l.hues)
	}
}

// hues are the colors of the prefixes, one allocation after the other.
var hues = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// line prints a line of a stream.
func (l *logReader) line(s logSource, a *nomadish.AllocationListStub, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []byte
	switch {
	case l.asJSON:
		b, err := nomadish.EncodeJSON(logLine{a.ID, a.Name, s.task, s.kind, string(bytes.ToValidUTF8(line, []byte("\uFFFD")))})
		if err != nil {
			return err
		}
		out = append(b, '\n')
	case l.plain:
		out = append(bytes.Clone(line), '\n')
	default:
		prefix := pad(cell(l.prefix(a, s)), l.width) + " |"
		if s.kind == "stderr" {
			prefix = prefix[:len(prefix)-1] + "!"
		}
		if l.colored(l.Stdout) {
			prefix = "\x1b[" + hues[l.hues[a.ID]%len(hues)] + "m" + prefix + "\x1b[0m"
		}
		text := string(line)
		if isTerminal(l.Stdout) {
			text = printable(text)
		}
		out = []byte(prefix + " " + text + "\n")
	}
	if l.plain && isTerminal(l.Stdout) {
		out = []byte(printable(string(out)))
	}
	_, err := l.Stdout.Write(out)
	return err
}

// lineWriter calls emit with each line that is written to it, without its end.
type lineWriter struct {
	emit func(line []byte) error
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			w.rest = append(w.rest, b...)
			if len(w.rest) >= maxLogLine {
				return n, w.flush()
			}
			return n, nil
		}
		line := b[:end]
		if len(w.rest) > 0 {
			line = append(w.rest, line...)
			w.rest = nil
		}
		if err := w.emit(line); err != nil {
			return 0, err
		}
		b = b[end+1:]
	}
	return n, nil
}

// flush emits the beginning of a line whose end never came.
func (w *lineWriter) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	line := w.rest
	w.rest = nil
	return w.emit(line)
}
