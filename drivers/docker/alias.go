//go:build linux

package docker

import (
	"context"
	"sync"
	"time"

	"github.com/nomadish/nomadish/drivers"
)

// Aliases are the other names that job files have for this driver. By these, the options of
// containerd-driver count as well.
func Aliases() []string { return []string{"containerd", "containerd-driver"} }

// Alias is the driver by another name. What is done for the whole node, the driver itself does.
func (d *Driver) Alias(name string) drivers.Driver { return &alias{Driver: d, name: name} }

type alias struct {
	*Driver
	name string
}

// Schema has the options of containerd-driver too.
func (a *alias) Schema() drivers.Schema { return schemaOf(containerdTable()) }

// Fingerprint is what the driver itself has found not long ago.
func (a *alias) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	fp := a.prints.recent(ctx, a.fingerprint)
	fp.Attributes = renamed(fp.Attributes, a.name)
	return fp, nil
}

// TaskNetwork reads the options by the alias's meanings.
func (a *alias) TaskNetwork(spec *drivers.TaskSpec) (*drivers.NetworkRequest, error) {
	return a.taskNetwork(a.name, spec)
}

// Start reads the options by the alias's meanings.
func (a *alias) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	return a.start(ctx, a.name, spec)
}

// Reap does nothing: the driver itself removes what is left of tasks of all its names.
func (a *alias) Reap(context.Context, map[string]bool) error { return nil }

// printAge is how old a fingerprint may be for an alias to show it.
const printAge = 10 * time.Second

// prints holds the newest fingerprint.
type prints struct {
	mu     sync.Mutex // held while one is taken: all who ask meanwhile get it
	last   drivers.Fingerprint
	at     time.Time
	answer bool
}

// renew takes a fingerprint.
func (p *prints) renew(ctx context.Context, take func(context.Context) drivers.Fingerprint) drivers.Fingerprint {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = take(ctx)
	p.at, p.answer = time.Now(), ctx.Err() == nil
	return p.last
}

// recent returns the newest fingerprint if it is not old, and else takes one.
func (p *prints) recent(ctx context.Context, take func(context.Context) drivers.Fingerprint) drivers.Fingerprint {
	p.mu.Lock()
	last, fresh := p.last, p.answer && time.Since(p.at) < printAge
	p.mu.Unlock()
	if fresh {
		return last
	}
	return p.renew(ctx, take)
}
