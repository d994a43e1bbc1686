package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// execExits are the exit codes of running a command in a task.
const execExits = `  0    the command ended with 0; any other code of the command is passed on
  1    also: it could not be run; standard error says why
  64   also: the command line is wrong
  130  also: an interrupt or the escape sequence ended the session`

const execHelp = `

  Flags stand before the command, which begins with the first word behind the first argument
  that is no flag, or with "--". With a terminal of its own (-t) the command gets what is typed
  as it is typed; the escape character at the beginning of a line, and then a dot (~.), ends
  the session; typed twice it is sent once.`

func execCommand() command {
	return command{
		words: "exec", args: "JOB COMMAND...", summary: "Run a command in a task of a job",
		help: `  JOB is a job's ID, of which the newest running allocation is taken, or an allocation: its
  ID or name, or web/0 for number 0 of job web.` + execHelp,
		example: "  nomadish exec web sh\n  nomadish exec -task nginx web/0 -- nginx -t\n  nomadish exec web -- tar c /data | tar x",
		exits:   execExits,
		run:     func(ctx context.Context, c *call) error { return runExec(ctx, c, true) },
	}
}

func allocExecCommand() command {
	return command{
		words: "alloc exec", args: "ALLOCATION COMMAND...", summary: "Run a command in a task of an allocation",
		help:    allocationHelp + execHelp,
		example: "  nomadish alloc exec -task nginx 5f2c sh",
		exits:   execExits,
		run:     func(ctx context.Context, c *call) error { return runExec(ctx, c, false) },
	}
}

// execFlags say how a command runs in a task.
type execFlags struct {
	task       string
	stdin      bool
	tty, byJob bool
	ttyAsked   bool
	escape     string
}

func runExec(ctx context.Context, c *call, byJob bool) error {
	f := &execFlags{}
	c.remoteFlags()
	c.flags.StringVar(&f.task, "task", "", "`name` of the task; default: the only one, or the main one")
	c.flags.BoolVar(&f.stdin, "i", true, "pass standard input on")
	c.flags.BoolFunc("t", "give the command a terminal; default: if it is called from one", func(s string) error {
		f.ttyAsked, f.tty = true, s == "true"
		return nil
	})
	c.flags.BoolFunc("it", "short for -i -t", func(s string) error {
		f.ttyAsked, f.tty, f.stdin = true, s == "true", s == "true"
		return nil
	})
	c.flags.StringVar(&f.escape, "e", "~", "escape `character`, or none")
	c.flags.BoolVar(&f.byJob, "job", byJob, "take an allocation of the job that is named")
	if err := c.parseUntil(1, 2, -1); err != nil {
		return err
	}
	if len(f.escape) != 1 && f.escape != "none" {
		return c.misused("-e: %q is not one character, and not none", f.escape)
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := c.target(ctx, client, c.args[0], f.byJob)
	if err != nil {
		return err
	}
	task, err := runningTask(a, f.task)
	if err != nil {
		return err
	}
	return f.exec(ctx, c, client, a, &nomadish.ExecRequest{Task: task, Command: c.args[1:]})
}

// exec runs the command; its exit code is the error, unless it is 0.
func (f *execFlags) exec(ctx context.Context, c *call, client *api.Client, a *nomadish.Allocation, req *nomadish.ExecRequest) error {
	code, err := f.session(ctx, c, client, a, req)
	switch {
	case errors.Is(err, errEscaped), err != nil && ctx.Err() != nil:
		return &exit{code: ExitDetached}
	case err != nil:
		return fmt.Errorf("exec in task %q of allocation %s (%s): %w", req.Task, short(a.ID), a.Name, err)
	case code != 0:
		return &exit{code: code}
	}
	return nil
}

// session runs the command with this terminal, or with what standard input and output are.
func (f *execFlags) session(ctx context.Context, c *call, client *api.Client, a *nomadish.Allocation, req *nomadish.ExecRequest) (int, error) {
	in, onTerminal := c.Stdin.(*os.File)
	onTerminal = onTerminal && term.IsTerminal(int(in.Fd()))
	req.TTY = f.tty
	if !f.ttyAsked {
		req.TTY = f.stdin && onTerminal && isTerminal(c.Stdout)
	}
	req.Stdout, req.Stderr = c.Stdout, c.Stderr
	if !f.stdin || c.Stdin == nil {
		return client.Allocations().Exec(ctx, a.ID, req)
	}
	req.Stdin = c.Stdin
	if !req.TTY || !onTerminal {
		return client.Allocations().Exec(ctx, a.ID, req)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if f.escape != "none" {
		req.Stdin = &escaper{r: in, char: f.escape[0], escaped: func() { cancel(errEscaped) }, fresh: true}
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return 0, fmt.Errorf("the terminal can't be given to the command: %w", err)
	}
	defer func() {
		_ = term.Restore(int(in.Fd()), before) // nobody is left to tell
	}()
	sizes := make(chan nomadish.TerminalSize, 1)
	sendSize(in, sizes) // it is there when the command begins
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); watchSize(watching, in, sizes) }()
	defer func() { stop(); <-ended }()
	req.Resize = sizes
	code, err := client.Allocations().Exec(ctx, a.ID, req)
	if cause := context.Cause(ctx); errors.Is(cause, errEscaped) {
		err = cause
	}
	return code, err
}

// sendSize tells the size of a terminal, in place of one that nobody has taken yet.
func sendSize(f *os.File, sizes chan nomadish.TerminalSize) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return
	}
	select {
	case <-sizes:
	default:
	}
	sizes <- nomadish.TerminalSize{Width: width, Height: height}
}

// errEscaped ends a session by the escape sequence.
var errEscaped = errors.New("ended by the escape sequence")

// escaper reads what is typed and looks for the escape character at the beginnings of lines.
type escaper struct {
	r       io.Reader
	char    byte
	escaped func()
	fresh   bool // at the beginning of a line
	pending bool // the escape character was typed
}

// Read returns what is typed; after the escape sequence it has ended.
func (e *escaper) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	for {
		typed := make([]byte, len(p)/2) // an escape character that was held back takes room too
		n, err := e.r.Read(typed)
		out := p[:0]
		for _, b := range typed[:n] {
			switch {
			case e.pending && b == '.':
				e.escaped()
				return len(out), io.EOF
			case e.pending && b != e.char:
				out = append(out, e.char)
			case !e.pending && e.fresh && b == e.char:
				e.pending = true
				continue
			}
			e.pending, e.fresh = false, b == '\r' || b == '\n'
			out = append(out, b)
		}
		if len(out) > 0 || err != nil {
			return len(out), err
		}
	}
}

// target finds the allocation that a word means; byJob takes the newest running one of a job.
func (c *call) target(ctx context.Context, client *api.Client, word string, byJob bool) (*nomadish.Allocation, error) {
	if byJob {
		a, err := c.allocationOr(ctx, client, word, true)
		if !errors.Is(err, nomadish.ErrNotFound) {
			return a, err
		}
	}
	return c.findAllocation(ctx, client, word)
}

// runningTask returns the task that is meant: the one that is named, the only one, or the only
// one of the main tasks.
func runningTask(a *nomadish.Allocation, name string) (string, error) {
	task, err := taskOf(a, name)
	if err == nil || name != "" || a.Job == nil {
		return task, err
	}
	var main []string
	if g := a.Job.TaskGroup(a.TaskGroup); g != nil {
		for _, t := range g.Tasks {
			if t.Lifecycle == nil {
				main = append(main, t.Name)
			}
		}
	}
	if len(main) == 1 {
		return main[0], nil
	}
	return "", err
}
