// Package mock is a driver that runs nothing: its tasks last, write and end as their
// config says. It takes the options of Nomad's mock_driver and serves tests and drills.
//
// A task's course follows from its handle and the clock alone, so a task "survives" the
// agent: a driver made later recovers it and sees it end when it was to end.
package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Name is the name that jobs use.
const Name = "mock_driver"

// Driver is the mock driver.
type Driver struct {
	now   func() time.Time
	mu    sync.Mutex
	tasks map[string]*task
}

// task is one that was started or recovered.
type task struct {
	plan   plan
	handle *drivers.Handle
	ended  chan struct{} // closed when a stop ends the task; exit is set before
	exit   drivers.Exit
	writer sync.WaitGroup // the repeated output
	quit   context.CancelFunc
}

// plan is a task's course, as written in its handle.
type plan struct {
	Start     time.Time
	RunFor    time.Duration // negative: until it is stopped
	ExitCode  int
	Signal    int
	ExitErr   string
	KillAfter time.Duration
	SignalErr string
}

// New returns a driver. now gives the wall clock; nil means time.Now.
func New(now func() time.Time) *Driver {
	if now == nil {
		now = time.Now
	}
	return &Driver{now: now, tasks: map[string]*task{}}
}

// Fingerprint reports the driver as healthy.
func (d *Driver) Fingerprint(context.Context) (drivers.Fingerprint, error) {
	return drivers.Fingerprint{Health: drivers.Healthy, Attributes: map[string]string{"driver." + Name: "1"}}, nil
}

// Start begins a task as its config says.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	o := drivers.NewOptions(spec.Config)
	p := plan{
		RunFor: o.Duration("run_for"), ExitCode: int(o.Int("exit_code")), Signal: int(o.Int("exit_signal")),
		ExitErr: o.String("exit_err_msg"), KillAfter: o.Duration("kill_after"), SignalErr: o.String("signal_error"),
	}
	startErr, recoverable, block := o.String("start_error"), o.Bool("start_error_recoverable"), o.Duration("start_block_for")
	said := speech{text: o.String("stdout_string"), times: int(o.Int("stdout_repeat")), every: o.Duration("stdout_repeat_duration")}
	if err := o.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	known := d.tasks[spec.ID]
	d.mu.Unlock()
	if known != nil {
		return known.handle, nil
	}
	if err := lifecycle.Sleep(ctx, block); err != nil {
		return nil, err
	}
	if startErr != "" {
		if recoverable {
			return nil, drivers.Recoverable(errors.New(startErr))
		}
		return nil, errors.New(startErr)
	}
	p.Start = d.now()
	return d.begin(spec, p, said)
}

func (d *Driver) begin(spec *drivers.TaskSpec, p plan, said speech) (*drivers.Handle, error) {
	state, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", spec.ID, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.tasks[spec.ID]; known != nil {
		return known.handle, nil
	}
	writing, quit := context.WithCancel(context.Background()) // ends with the task, not with Start
	t := &task{
		plan: p, ended: make(chan struct{}), quit: quit,
		handle: &drivers.Handle{ID: spec.ID, Driver: Name, State: state},
	}
	if said.text != "" {
		log, err := output.Open(spec.Stdout)
		if err != nil {
			quit()
			return nil, fmt.Errorf("task %s: %w", spec.ID, err)
		}
		t.writer.Go(func() { said.write(writing, log) })
	}
	d.tasks[spec.ID] = t
	return t.handle, nil
}

// Recover finds a task by its handle: its course goes on where it would be by now.
func (d *Driver) Recover(_ context.Context, h *drivers.Handle) error {
	var p plan
	if err := json.Unmarshal(h.State, &p); err != nil {
		return fmt.Errorf("task %s: handle: %w", h.ID, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tasks[h.ID] == nil {
		d.tasks[h.ID] = &task{plan: p, handle: h, ended: make(chan struct{}), quit: func() {}}
	}
	return nil
}

// Wait returns when the task has ended.
func (d *Driver) Wait(ctx context.Context, h *drivers.Handle) (drivers.Exit, error) {
	t, err := d.task(h)
	if err != nil {
		return drivers.Exit{}, err
	}
	var timeUp <-chan time.Time
	if t.plan.RunFor >= 0 {
		timer := time.NewTimer(t.plan.Start.Add(t.plan.RunFor).Sub(d.now()))
		defer timer.Stop()
		timeUp = timer.C
	}
	select {
	case <-t.ended:
		return t.exit, nil
	default:
	}
	select {
	case <-ctx.Done():
		return drivers.Exit{}, ctx.Err()
	case <-t.ended:
	case <-timeUp:
		d.end(t, t.plan.exit())
	}
	return t.exit, nil
}

func (p plan) exit() drivers.Exit {
	return drivers.Exit{Code: p.ExitCode, Signal: p.Signal, Err: p.ExitErr, Time: p.Start.Add(p.RunFor)}
}

// end ends a task once.
func (d *Driver) end(t *task, exit drivers.Exit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-t.ended:
	default:
		t.exit = exit
		t.quit()
		close(t.ended)
	}
}

// Stop ends the task after its kill_after, or after grace when that is sooner.
func (d *Driver) Stop(ctx context.Context, h *drivers.Handle, _ string, grace time.Duration) error {
	t, err := d.task(h)
	if err != nil {
		return err
	}
	if p := t.plan; p.RunFor >= 0 && !d.now().Before(p.Start.Add(p.RunFor)) {
		d.end(t, p.exit())
		return nil
	}
	select {
	case <-t.ended:
		return nil
	default:
	}
	if err := lifecycle.Sleep(ctx, min(t.plan.KillAfter, grace)); err != nil {
		return err
	}
	d.end(t, drivers.Exit{Signal: t.plan.Signal, Code: t.plan.ExitCode, Time: d.now()})
	return nil
}

// Signal fails with the config's signal_error, or does nothing.
func (d *Driver) Signal(_ context.Context, h *drivers.Handle, _ string) error {
	t, err := d.task(h)
	if err == nil && t.plan.SignalErr != "" {
		err = errors.New(t.plan.SignalErr)
	}
	return err
}

// Remove forgets the task.
func (d *Driver) Remove(_ context.Context, h *drivers.Handle) error {
	t, err := d.task(h)
	if errors.Is(err, drivers.ErrTaskLost) {
		return nil
	}
	d.end(t, drivers.Exit{Signal: 9, Code: 137, Time: d.now()})
	t.writer.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tasks, h.ID)
	return nil
}

func (d *Driver) task(h *drivers.Handle) (*task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tasks[h.ID]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("task %s: %w", h.ID, drivers.ErrTaskLost)
}

// speech is what a task writes: a text once, and times more with a pause before each.
type speech struct {
	text  string
	times int
	every time.Duration
}

func (s speech) write(ctx context.Context, w io.WriteCloser) {
	defer w.Close()
	for i := range s.times + 1 {
		if i > 0 && lifecycle.Sleep(ctx, s.every) != nil {
			return
		}
		if _, err := io.Copy(w, strings.NewReader(s.text)); err != nil {
			return
		}
	}
}
