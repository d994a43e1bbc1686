package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/drivers"
)

// Release frees all that Setup made for an ID. Releasing twice is no error.
func (m *Manager) Release(ctx context.Context, id string) error {
	unlock, err := m.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	m.mu.Lock()
	l := m.leases[id]
	m.mu.Unlock()
	if l == nil {
		return removeNamespace(m.path(id))
	}
	if err := m.free(ctx, l); err != nil {
		return fmt.Errorf("network of %s: %w", id, err)
	}
	return nil
}

// free takes the rules away first, so that nothing is led to what is going; the lease is
// forgotten last, so that after an error it is tried again.
func (m *Manager) free(ctx context.Context, l *lease) error {
	id := l.Request.ID
	if l.Request.Mode == ModeBridge {
		m.mu.Lock()
		m.going[id] = true
		m.mu.Unlock()
		if err := m.table.update(m.wanted); err != nil {
			return err
		}
	}
	if strings.HasPrefix(l.Request.Mode, ModeCNI) {
		err := m.removeCNI(ctx, l)
		if errors.Is(err, ErrUnsupported) {
			m.log.Warn("a CNI network is not configured any more; its plugins can't take it back", "id", id, "err", err)
		} else if err != nil {
			return err
		}
	}
	if err := m.links.disconnect(l); err != nil {
		return err
	}
	m.forgetFlows(l)
	m.mu.Lock()
	ns := m.spaces[id]
	delete(m.spaces, id)
	m.mu.Unlock()
	if ns != nil {
		if err := ns.Close(); err != nil {
			return err
		}
	}
	if err := removeNamespace(m.path(id)); err != nil {
		return err
	}
	if err := m.store.delete(id); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.leases, id)
	delete(m.going, id)
	m.mu.Unlock()
	return nil
}

// Reap frees the networks whose ID nobody keeps, and what earlier agents left of others.
func (m *Manager) Reap(ctx context.Context, keep func(id string) bool) error {
	m.mu.Lock()
	var drop []string
	files, names := map[string]bool{}, map[string]bool{}
	for id, l := range m.leases {
		if !keep(id) {
			drop = append(drop, id)
		}
		files[drivers.Key(id)] = true
		names[linkName(m.prefix, l.Index)] = true
	}
	m.mu.Unlock()
	var errs []error
	for _, id := range drop {
		errs = append(errs, m.Release(ctx, id))
	}
	entries, err := os.ReadDir(m.cfg.RunDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		if !files[e.Name()] {
			errs = append(errs, removeNamespace(filepath.Join(m.cfg.RunDir, e.Name())))
		}
	}
	stale, err := m.links.stale(names)
	errs = append(errs, err)
	for _, link := range stale {
		if err := m.links.host.LinkDel(link); err != nil && !gone(err) {
			errs = append(errs, fmt.Errorf("remove %s: %w", link.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}
