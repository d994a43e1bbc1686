package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	settle    = 20 * time.Millisecond // after news of the table, for more to come
	watchWait = time.Second           // before the kernel's news are asked for again
)

// Run keeps what Setup made right until ctx ends: it looks at all of it from time to time,
// and at the rules at once when somebody removes some. The networks stay when it returns.
func (m *Manager) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, m.close()) }()
	var wg sync.WaitGroup
	defer wg.Wait()
	kick := make(chan struct{}, 1)
	wg.Go(func() { m.watch(ctx, kick) })
	tick := time.NewTicker(m.cfg.Interval)
	defer tick.Stop()
	m.heal(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.sweep:
			m.sweepFlows()
		case <-tick.C:
			m.heal(ctx)
		case <-kick:
			if lifecycle.Sleep(ctx, settle) != nil {
				return nil
			}
			m.heal(ctx)
		}
	}
}

// heal compares what is there with what should be, and repairs it. What it can't repair it
// tries again the next time.
func (m *Manager) heal(ctx context.Context) {
	if err := m.healRules(); err != nil {
		m.log.Warn("repair the host's rules", "err", err)
	}
	if err := m.healLinks(ctx); err != nil && ctx.Err() == nil {
		m.log.Warn("repair networks", "err", err)
	}
	if err := m.look(); err != nil {
		m.log.Warn("look at the host's other rules", "err", err)
	}
}

func (m *Manager) healRules() error {
	drift, err := m.table.check(m.wanted)
	if drift != "" && err == nil {
		m.log.Info("the host's rules were not as they should be and were repaired", "differed", drift)
	}
	return err
}

// healLinks repairs the links and mounts of all leases that have a namespace. Without one
// there is nothing to repair: whoever uses the network asks for it again.
func (m *Manager) healLinks(ctx context.Context) error {
	broken, err := m.broken()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range broken {
		unlock, err := m.lock(ctx, id)
		if err != nil {
			return err
		}
		errs = append(errs, m.healOne(id))
		unlock()
	}
	return errors.Join(errs...)
}

func (m *Manager) healOne(id string) error {
	m.mu.Lock()
	l, ns := m.leases[id], m.spaces[id]
	m.mu.Unlock()
	if l == nil || ns == nil {
		return nil // released meanwhile
	}
	if path := m.path(id); !isNamespace(path) {
		if err := mountNamespace(ns, path); err != nil {
			return fmt.Errorf("mount the namespace of %s: %w", id, err)
		}
		m.log.Info("the mount of a network namespace was lost and was made again", "id", id)
	}
	if l.CNI != nil {
		return nil // its plugins own the rest
	}
	changed, err := m.links.connect(l, ns)
	if err != nil {
		return fmt.Errorf("connect the namespace of %s: %w", id, err)
	}
	if changed {
		m.log.Info("the link of a network namespace was lost and was made again", "id", id)
	}
	return nil
}

// broken returns the IDs of leases whose mount, link or route on the host is not there.
func (m *Manager) broken() ([]string, error) {
	m.mu.Lock()
	leases := make(map[string]*lease, len(m.spaces))
	for id := range m.spaces {
		if l := m.leases[id]; l != nil {
			leases[id] = l
		}
	}
	m.mu.Unlock()
	if len(leases) == 0 {
		return nil, nil
	}
	all, err := linkList(m.links.host)
	if err != nil {
		return nil, err
	}
	index := map[string]int{}
	for _, link := range all {
		if link.Attrs().OperState == netlink.OperUp {
			index[link.Attrs().Name] = link.Attrs().Index
		}
	}
	routes, err := routeList(m.links.host)
	if err != nil {
		return nil, err
	}
	routed := map[string]int{}
	for _, r := range routes {
		if r.Dst != nil {
			routed[r.Dst.IP.String()] = r.LinkIndex
		}
	}
	var out []string
	for id, l := range leases {
		whole := isNamespace(m.path(id))
		for _, a := range l.families() {
			at, ok := index[linkName(m.prefix, l.Index)]
			whole = whole && ok && routed[a.address.String()] == at
		}
		if !whole {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// watch says when somebody removes rules of our table.
func (m *Manager) watch(ctx context.Context, kick chan<- struct{}) {
	for ctx.Err() == nil {
		if err := m.follow(ctx, kick); err != nil && ctx.Err() == nil {
			m.log.Warn("follow changes of the host's rules", "err", err)
		}
		if lifecycle.Sleep(ctx, watchWait) != nil {
			return
		}
	}
}

// follow reads the kernel's news until ctx ends or some are lost.
func (m *Manager) follow(ctx context.Context, kick chan<- struct{}) error {
	// Not a lasting connection: only then does closing the monitor end it.
	conn, err := nftables.New(nftables.WithNetNSFd(int(m.host.Fd())))
	if err != nil {
		return err
	}
	monitor := nftables.NewMonitor()
	events, err := conn.AddMonitor(monitor)
	if err != nil {
		return err
	}
	poke(kick)                                                     // what happened before is not known
	stop := context.AfterFunc(ctx, func() { _ = monitor.Close() }) // ends the events, whatever it returns
	defer stop()
	var lost error
	for e := range events {
		if e.Error != nil && e.Type == nftables.MonitorEventTypeOOB {
			lost = e.Error
		}
		if m.table.removes(e) {
			poke(kick)
		}
	}
	return lost
}

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// removes says that an event takes something from the table.
func (t *table) removes(e *nftables.MonitorEvent) bool {
	var of *nftables.Table
	switch e.Type {
	case nftables.MonitorEventTypeDelTable:
		of, _ = e.Data.(*nftables.Table)
	case nftables.MonitorEventTypeDelChain:
		if c, ok := e.Data.(*nftables.Chain); ok && c != nil {
			of = c.Table
		}
	case nftables.MonitorEventTypeDelRule:
		if r, ok := e.Data.(*nftables.Rule); ok && r != nil {
			of = r.Table
		}
	case nftables.MonitorEventTypeDelSet:
		if s, ok := e.Data.(*nftables.Set); ok && s != nil {
			of = s.Table
		}
	}
	return of != nil && of.Name == t.name
}
