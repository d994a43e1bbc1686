//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish/api"
)

// shown is how many faults of a kind an error names.
const shown = 5

// page is how many variables are listed at once.
const page = 2000

// Check compares a history with what there is now: every acknowledged write is on every server,
// at the index that it was acknowledged with, and no read was stale. A load of fewer than min
// acknowledged writes has shown nothing, which is an error too.
func (l *Lab) Check(ctx context.Context, name string, h History, least int) error {
	var errs []error
	if len(h.Acked) < least {
		errs = append(errs, fmt.Errorf("%d writes were acknowledged, which is no load: want %d; refused: %q; unknown: %q",
			len(h.Acked), least, firsts(h.Refused), firsts(h.Why)))
	}
	if len(h.Stale) > 0 {
		errs = append(errs, fmt.Errorf("%d of %d reads were stale: %q", len(h.Stale), h.Reads, firsts(h.Stale)))
	}
	var last uint64
	for _, w := range h.Acked {
		last = max(last, w.Index)
	}
	for _, m := range l.Servers() {
		if err := m.has(ctx, name, h, last); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.cfg.Name, err))
		}
	}
	return errors.Join(errs...)
}

// has checks one server's own state, once it has come as far as the history.
func (m *Machine) has(ctx context.Context, name string, h History, last uint64) error {
	index := map[string]uint64{}
	err := machine.Until(ctx, "the server has caught up", func(ctx context.Context) error {
		_, meta, err := m.API.Variables().List(ctx, &api.Query{Stale: true, Prefix: name + "/", PerPage: 1})
		if err == nil && meta.Index < last {
			err = fmt.Errorf("it is at index %d of %d", meta.Index, last)
		}
		return err
	})
	if err != nil {
		return err
	}
	for token := ""; ; {
		list, meta, err := m.API.Variables().List(ctx, &api.Query{Stale: true, Prefix: name + "/", PerPage: page, NextToken: token})
		if err != nil {
			return err
		}
		for _, v := range list {
			index[v.Path] = v.ModifyIndex
		}
		if token = meta.NextToken; token == "" {
			break
		}
	}
	var lost []string
	for _, w := range h.Acked {
		if got := index[w.Path]; got != w.Index {
			lost = append(lost, fmt.Sprintf("%s is at index %d, was acknowledged at %d", w.Path, got, w.Index))
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%d of %d acknowledged writes are lost or changed: %q", len(lost), len(h.Acked), firsts(lost))
	}
	return nil
}

func firsts(list []string) []string { return list[:min(len(list), shown)] }
