package client

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	driverTimeout = 10 * time.Second       // for one driver's answer
	firstDrivers  = 500 * time.Millisecond // the first registration waits this long for the drivers
)

// watchDrivers asks the drivers again and again, each on its own, so that one that hangs
// holds up nobody.
func (c *Client) watchDrivers(ctx context.Context) error {
	done := make(chan struct{})
	for name, d := range c.cfg.Drivers {
		go func() {
			c.watchDriver(ctx, name, d)
			done <- struct{}{}
		}()
	}
	for range c.cfg.Drivers {
		<-done
	}
	<-ctx.Done()
	return nil
}

func (c *Client) watchDriver(ctx context.Context, name string, d drivers.Driver) {
	for {
		state := askDriver(ctx, d)
		if ctx.Err() != nil {
			return
		}
		c.setDriver(name, state)
		if lifecycle.Sleep(ctx, c.cfg.DriverInterval) != nil {
			return
		}
	}
}

func askDriver(ctx context.Context, d drivers.Driver) fingerprint.DriverState {
	ctx, cancel := context.WithTimeout(ctx, driverTimeout)
	defer cancel()
	fp, err := d.Fingerprint(ctx)
	if err != nil {
		return fingerprint.DriverState{Detected: true, Reason: err.Error()}
	}
	return fingerprint.DriverState{
		Detected: fp.Health != drivers.Undetected, Healthy: fp.Health == drivers.Healthy,
		Reason: fp.Reason, Attributes: fp.Attributes,
	}
}

// setDriver puts a driver's state into the node, which is registered anew if it changed.
func (c *Client) setDriver(name string, state fingerprint.DriverState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := *c.node
	n.Drivers = maps.Clone(n.Drivers)
	if !fingerprint.Driver(&n, name, state, c.cfg.Now()) {
		return
	}
	n.ComputedClass = fingerprint.ComputedClass(&n)
	c.node = &n
	notify(c.nodeDirty)
}

// driversKnown says whether every driver has answered once.
func (c *Client) driversKnown() bool {
	return len(c.Node().Drivers) >= len(c.cfg.Drivers)
}

// keepRegistered makes the servers know the node and what changes of it, and keeps its lease.
func (c *Client) keepRegistered(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, firstDrivers)
	defer cancel()
	for !c.driversKnown() && first.Err() == nil {
		select {
		case <-first.Done():
		case <-c.nodeDirty:
		}
	}
	pause := backoff{first: c.cfg.RetryInterval}
	for ctx.Err() == nil {
		lease, err := c.register(ctx)
		for err == nil {
			pause.reset()
			lease, err = c.beat(ctx, lease)
		}
		if ctx.Err() != nil || errors.Is(err, errChanged) {
			continue
		}
		c.log.Warn("keep the node registered", "err", err)
		if pause.wait(ctx, c.cfg.Jitter()) != nil {
			break
		}
	}
	return nil
}

func (c *Client) register(ctx context.Context) (*nomadish.NodeLease, error) {
	select {
	case <-c.nodeDirty:
	default:
	}
	asked := time.Now()
	lease, err := c.server.Register(ctx, c.Node())
	if err != nil {
		return nil, err
	}
	c.leased(lease, asked)
	select {
	case <-c.registered:
	default:
		close(c.registered)
	}
	return lease, nil
}

// errChanged says that the node is to be registered anew.
var errChanged = errors.New("the node has changed")

// beat waits until the lease is half over, or a little more, and renews it.
func (c *Client) beat(ctx context.Context, lease *nomadish.NodeLease) (*nomadish.NodeLease, error) {
	ttl := max(lease.HeartbeatTTL, 100*time.Millisecond)
	timer := time.NewTimer(ttl/2 + time.Duration(c.cfg.Jitter()*float64(ttl))/4)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.nodeDirty:
		return nil, errChanged
	case <-timer.C:
	}
	pause := backoff{first: min(c.cfg.RetryInterval, ttl/8)}
	for {
		asked := time.Now()
		next, err := c.server.Heartbeat(ctx, c.id, nomadish.NodeStatusReady)
		switch {
		case err == nil:
			c.leased(next, asked)
			return next, nil
		case errors.Is(err, nomadish.ErrNotFound):
			c.log.Warn("the servers don't know this node; it registers anew")
			c.forget()
			return nil, errChanged
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		c.log.Warn("renew the node's lease", "err", err)
		if err := pause.wait(ctx, c.cfg.Jitter()); err != nil {
			return nil, err
		}
	}
}
