package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// bytesPerLine is how much is read for each line that is wanted of the end of a file.
const bytesPerLine = 512

func allocLogsCommand() command {
	return command{
		words: "alloc logs", args: "ALLOCATION [TASK]", summary: "Print what a task has written",
		help: allocationHelp + `
  With -job it is the ID of a job, of which the newest running allocation is taken.

  TASK may be left out where there is
  but one.`,
		example: "  nomadish alloc logs -f -n 20 5f2c web\n  nomadish alloc logs -stderr -job web",
		run:     runAllocLogs,
	}
}

// tailFlags say which part of a file is wanted.
type tailFlags struct {
	follow, tail bool
	lines, bytes int64
}

func (f *tailFlags) register(c *call) {
	c.flags.BoolVar(&f.follow, "f", false, "go on with what is written later, until interrupted")
	c.flags.BoolFunc("tail", "begin near the end: with the last 10 lines, or with -tail=N so many, unless -n or -c say otherwise", f.setTail)
	c.flags.Int64Var(&f.lines, "n", 0, "begin with the last `lines`")
	c.flags.Int64Var(&f.bytes, "c", 0, "begin with the last `bytes`")
}

// setTail reads the value of -tail: a number of lines, or whether the end is wanted.
func (f *tailFlags) setTail(text string) (err error) {
	if digits(text) {
		f.tail = true
		f.lines, err = strconv.ParseInt(text, 10, 64)
		return err
	}
	f.tail, err = strconv.ParseBool(text)
	return err
}

func (f *tailFlags) check(c *call) error {
	if f.lines < 0 || f.bytes < 0 || f.lines > 0 && f.bytes > 0 {
		return c.misused("-n and -c exclude each other and can't be negative")
	}
	if f.tail && f.lines == 0 && f.bytes == 0 {
		f.lines = tailLines
	}
	f.lines = min(f.lines, 1_000_000)
	return nil
}

func runAllocLogs(ctx context.Context, c *call) error {
	f := &tailFlags{}
	stderr, byJob, task := false, false, ""
	c.remoteFlags()
	c.args = tailCount(c.args)
	f.register(c)
	c.flags.BoolVar(&stderr, "stderr", false, "print standard error instead of standard output")
	c.flags.BoolVar(&byJob, "job", false, "take an allocation of the job that is named")
	c.flags.StringVar(&task, "task", "", "`name` of the task")
	if err := c.parse(1, 2); err != nil {
		return err
	}
	if err := f.check(c); err != nil {
		return err
	}
	if len(c.args) == 2 {
		task = cmp.Or(task, c.args[1])
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := c.allocationOr(ctx, client, c.args[0], byJob)
	if err != nil {
		return err
	}
	if task, err = taskOf(a, task); err != nil {
		return err
	}
	req := nomadish.LogRequest{AllocID: a.ID, Task: task, Type: "stdout"}
	if stderr {
		req.Type = "stderr"
	}
	return f.print(ctx, c.content(), func(ctx context.Context, offset int64, origin string, follow bool) iter.Seq2[*nomadish.StreamFrame, error] {
		req.Offset, req.Origin, req.Follow = offset, origin, follow
		return client.Files().Logs(ctx, &req)
	})
}

// allocationOr finds an allocation by its ID, or one of a job.
func (c *call) allocationOr(ctx context.Context, client *api.Client, word string, byJob bool) (*nomadish.Allocation, error) {
	if !byJob {
		return c.findAllocation(ctx, client, word)
	}
	job, _, err := c.findJob(ctx, client, word)
	if err != nil {
		return nil, err
	}
	all, _, err := client.Jobs().Allocations(ctx, job.ID, false, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("job %q has no allocations", job.ID)
	}
	newest := slices.MaxFunc(all, func(a, b *nomadish.AllocationListStub) int {
		running := func(a *nomadish.AllocationListStub) int {
			if a.ClientStatus == nomadish.AllocClientRunning {
				return 1
			}
			return 0
		}
		return cmp.Or(running(a)-running(b), cmp.Compare(a.CreateIndex, b.CreateIndex))
	})
	a, _, err := client.Allocations().Allocation(ctx, newest.ID, nil)
	return a, err
}

// taskOf returns the task that is meant: the only one where none is named.
func taskOf(a *nomadish.Allocation, name string) (string, error) {
	tasks := allocTasks(a)
	switch {
	case slices.Contains(tasks, name):
		return name, nil
	case name != "":
		return "", fmt.Errorf("allocation %s has no task %q among %s%s", short(a.ID), name, strings.Join(tasks, ", "), didYouMean(name, tasks))
	case len(tasks) == 1:
		return tasks[0], nil
	case len(tasks) == 0:
		return "", fmt.Errorf("allocation %s has no task", short(a.ID))
	}
	return "", fmt.Errorf("allocation %s has several tasks, name one: %s", short(a.ID), strings.Join(tasks, ", "))
}

// opener opens a stream of a file from an offset.
type opener func(ctx context.Context, offset int64, origin string, follow bool) iter.Seq2[*nomadish.StreamFrame, error]

// print writes the part of a file that is wanted.
func (f *tailFlags) print(ctx context.Context, w io.Writer, open opener) error {
	switch {
	case f.bytes > 0:
		return pour(w, open(ctx, f.bytes, "end", f.follow))
	case f.lines == 0:
		return pour(w, open(ctx, 0, "start", f.follow))
	}
	kept := &lastBytes{max: f.lines * bytesPerLine}
	if err := pour(kept, open(ctx, kept.max, "end", false)); err != nil {
		return err
	}
	if !f.follow {
		_, err := w.Write(trimLines(kept.text, f.lines))
		return err
	}
	// The second stream begins as many bytes before the end as the first one had: what came
	// between both is in it.
	first := &backlog{w: w, want: len(kept.text), lines: f.lines}
	return pour(first, open(ctx, int64(len(kept.text)), "end", true))
}

// pour writes what a stream brings.
func pour(w io.Writer, frames iter.Seq2[*nomadish.StreamFrame, error]) error {
	for frame, err := range frames {
		if err != nil {
			return err
		}
		if _, err := w.Write(frame.Data); err != nil {
			return err
		}
	}
	return nil
}

// trimLines returns the last n lines.
func trimLines(text []byte, n int64) []byte {
	end := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; n > 0; n-- {
		if end = bytes.LastIndexByte(text[:end], '\n'); end < 0 {
			return text
		}
	}
	return text[end+1:]
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	max  int64
	text []byte
}

func (l *lastBytes) Write(b []byte) (int, error) {
	l.text = append(l.text, b...)
	if over := int64(len(l.text)) - l.max; over > 0 {
		l.text = l.text[over:]
	}
	return len(b), nil
}

// backlog passes on the last lines of the first bytes, then everything.
type backlog struct {
	w     io.Writer
	want  int // bytes of the backlog that are still to come
	lines int64
	text  []byte
}

func (l *backlog) Write(b []byte) (int, error) {
	if l.want > 0 {
		n := min(l.want, len(b))
		l.text, l.want = append(l.text, b[:n]...), l.want-n
		if l.want > 0 {
			return len(b), nil
		}
		if _, err := l.w.Write(trimLines(l.text, l.lines)); err != nil {
			return 0, err
		}
		l.text = nil
		_, err := l.w.Write(b[n:])
		return len(b), err
	}
	return l.w.Write(b)
}
