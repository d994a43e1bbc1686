package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func varLockCommand() command {
	return command{
		words: "var lock", args: "VARIABLE|@FILE [@FILE] COMMAND...", summary: "Run a command while holding a variable's lock",
		help: `  Waits until the lock is free, runs the command, renews the lock as long as the command
  runs, and releases it. Signals are passed on to the command. If the lock is lost, because no
  server could be reached for its time to live, the command is told to end, and killed
  5s later.

  A variable that does not exist is made. With a specification its items are stored when the
  lock is acquired. The command finds in its environment:
    NOMADISH_LOCK_FENCE      greater than that of every holder before: what it writes to can
                             refuse those that were late to notice that they lost the lock
    NOMADISH_LOCK_ID         with which the variable can be changed while it is locked
    NOMADISH_LOCK_PATH, NOMADISH_LOCK_NAMESPACE`,
		exits: `  0    the command ended with 0; any other code of the command is passed on
  1    the lock was lost, or could not be had; standard error says why
  64   the command line is wrong
  130  interrupted while it waited for the lock`,
		example: `  nomadish var lock backup/nightly ./backup.sh
  nomadish var lock -ttl 30s -shell=false leader /usr/bin/worker -v`,
		run: runVarLock,
	}
}

// lockRun is one run of a command under a lock.
type lockRun struct {
	*call
	client   *api.Client
	want     *nomadish.Variable // as asked for
	held     *nomadish.Variable // as acquired
	until    time.Time          // when the lock ends unless it is renewed
	maxRetry int
	shell    bool
}

func runVarLock(ctx context.Context, c *call) error {
	c.remoteFlags()
	l := &lockRun{call: c}
	ttl := c.flags.Duration("ttl", 0, "`time` that the lock is held without being renewed, 10s to 24h; default 15s")
	delay := c.flags.Duration("delay", 0, "`time` that nobody can have the lock after it was lost, 10s to 24h; default 15s")
	in := c.flags.String("in", "", "`format` of a specification whose name does not tell: json, the default, or hcl")
	c.flags.IntVar(&l.maxRetry, "max-retry", 5, "renewals that may fail in a row, as `times`, before the lock is taken for lost; 0: none")
	c.flags.BoolVar(&l.shell, "shell", true, "run the command by $SHELL, or /bin/sh")
	if err := c.parseUntil(1, 2, -1); err != nil {
		return err
	}
	named := 1
	if !isSpec(c.args[0]) && isSpec(c.args[1]) {
		named = 2
	}
	if len(c.args) == named {
		return c.misused("there is no command to run")
	}
	var err error
	if l.want, err = c.variableArgs(&varSpec{c: c, format: *in}, c.args[:named]); err != nil {
		return err
	}
	if l.want.Lock == nil {
		l.want.Lock = &nomadish.VariableLock{}
	}
	if *ttl != 0 {
		l.want.Lock.TTL = ttl.String()
	}
	if *delay != 0 {
		l.want.Lock.LockDelay = delay.String()
	}
	if l.client, err = c.connect(); err != nil {
		return err
	}
	defer l.client.Close()
	if err := l.acquire(ctx); err != nil {
		return err
	}
	ran := l.run(ctx, c.args[named:])
	if err := l.release(ctx); err != nil {
		if ran == nil {
			return err
		}
		fmt.Fprintln(l.Stderr, describe(err))
	}
	return ran
}

// note tells of something to who wants to know more.
func (l *lockRun) note(format string, args ...any) {
	if l.remote.verbose {
		fmt.Fprintln(l.Stderr, printable(fmt.Sprintf(format, args...)))
	}
}

// acquire waits until the lock is this command's.
func (l *lockRun) acquire(ctx context.Context) error {
	q := &api.Query{Prefix: l.want.Path, Namespace: l.want.Namespace, Wait: time.Minute, PerPage: 1}
	for {
		before := time.Now()
		held, err := l.client.Variables().Acquire(ctx, l.want)
		if err == nil {
			l.held = held
			ttl, _ := held.Lock.Times()
			l.until = before.Add(ttl)
			l.note("The lock of %q is held with fence %d.", held.Path, held.Lock.Fence)
			return nil
		}
		if nomadish.KindOf(err) != nomadish.KindConflict {
			return err
		}
		if q.MinIndex == 0 {
			l.note("Waiting for the lock of %q.", l.want.Path)
		}
		if err := l.await(ctx, q); err != nil {
			return err
		}
	}
}

// lockAgain is the longest time between two attempts to acquire a lock that no change has
// brought about.
const lockAgain = 2 * time.Second

// await returns when the variable has changed, or after a while where that can't be told.
func (l *lockRun) await(ctx context.Context, q *api.Query) error {
	if _, meta, err := l.client.Variables().List(ctx, q); err == nil {
		known := q.MinIndex != 0
		q.MinIndex = meta.Index
		if known {
			return nil
		}
	}
	// The first answer only tells from where on to wait, and many may wait for the same lock.
	return pause(ctx, rand.N(lockAgain))
}

// release ends the lock, also after an interrupt.
func (l *lockRun) release(ctx context.Context) error {
	if l.held == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := l.client.Variables().Release(ctx, l.held); err != nil {
		return fmt.Errorf("release the lock: %w", err)
	}
	l.note("The lock of %q is released.", l.held.Path)
	return nil
}

// environ is the environment of the command.
func (l *lockRun) environ() []string {
	return append(slices.Clone(l.Environ),
		"NOMADISH_LOCK_FENCE="+number(l.held.Lock.Fence), "NOMADISH_LOCK_ID="+l.held.Lock.ID,
		"NOMADISH_LOCK_PATH="+l.held.Path, "NOMADISH_LOCK_NAMESPACE="+l.held.Namespace)
}

// child makes the command.
func (l *lockRun) child(args []string) *exec.Cmd {
	if l.shell {
		shell, _ := l.lookup("SHELL")
		args = []string{cmp.Or(shell, "/bin/sh"), "-c", strings.Join(args, " ")}
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it ends in its own time, or as lose says
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = l.Stdin, l.Stdout, l.Stderr, l.environ()
	return cmd
}

// run runs the command and keeps the lock meanwhile. Signals end the command, not this.
func (l *lockRun) run(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedSignals...)
	defer signal.Stop(signals)
	cmd := l.child(args)
	terminal, ok := l.Stdin.(*os.File)
	group := !ok || !isTerminal(terminal) // who reads from a terminal has to be in its foreground group
	if group {
		ownGroup(cmd)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", args[0], err)
	}
	var result error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result = cmd.Wait()
	}()
	lost := make(chan error, 1)
	go func() { lost <- l.keep(ctx) }()
	for {
		select {
		case s := <-signals:
			pass(cmd, s, group)
		case <-ended:
			cancel()
			if err := <-lost; err != nil { // just now: its release will say so
				l.note("The lock was lost: %v", err)
			}
			return exitOf(result)
		case err := <-lost:
			l.held = nil
			l.lose(cmd, group, ended)
			return fmt.Errorf("the lock of %q is lost: %w", l.want.Path, err)
		}
	}
}

// exitOf ends this command as its child ended.
func exitOf(err error) error {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &ended):
		return err
	case ended.ExitCode() < 0: // by a signal
		return &exit{code: signalExit(ended.ProcessState)}
	}
	return &exit{code: ended.ExitCode()}
}

// lockGrace is what a command has to end in when its lock is lost.
const lockGrace = 5 * time.Second

// lose ends the command.
func (l *lockRun) lose(cmd *exec.Cmd, group bool, ended <-chan struct{}) {
	pass(cmd, terminate, group)
	timer := time.NewTimer(lockGrace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		pass(cmd, os.Kill, group)
		<-ended
	}
}

// keep renews the lock until ctx ends, and returns why it is lost.
func (l *lockRun) keep(ctx context.Context) error {
	ttl, _ := l.held.Lock.Times()
	failed := 0
	wait := ttl / 2
	for {
		if pause(ctx, wait) != nil {
			return nil
		}
		before := time.Now()
		once, cancel := context.WithDeadline(ctx, l.until)
		_, err := l.client.Variables().Renew(once, l.held)
		cancel()
		switch {
		case err == nil:
			l.until, failed, wait = before.Add(ttl), 0, ttl/2
			continue
		case ctx.Err() != nil:
			return nil
		case nomadish.KindOf(err) == nomadish.KindConflict, nomadish.KindOf(err) == nomadish.KindDenied:
			return err
		}
		failed++
		left := time.Until(l.until)
		if failed > l.maxRetry || left <= 0 {
			return errors.New("it could not be renewed in time: " + err.Error()) // of its own kind: what is wrong is that the lock is lost
		}
		l.note("The lock could not be renewed: %v", err)
		wait = min(left, ttl/16)
	}
}
