package state

import (
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var scalingEvents = newTable[nomadish.JobScalingEvents](16, TableScalingEvents, func(e *nomadish.JobScalingEvents) ([]byte, error) {
	return nameKey(e.Namespace, e.JobID)
})

// ScalingEvents returns the scaling events of a job's groups; without any there are no groups.
func (r Reader) ScalingEvents(ws memdb.WatchSet, namespace, id string) (*nomadish.JobScalingEvents, error) {
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	if e, ok := first(r, ws, scalingEvents, key); ok {
		return e, nil
	}
	return &nomadish.JobScalingEvents{Namespace: namespace, JobID: id}, nil
}

// AddScalingEvent adds an event to those of a group, of which the newest
// nomadish.MaxScalingEvents are kept.
func (w *Writer) AddScalingEvent(namespace, id, group string, event *nomadish.ScalingEvent) error {
	old, err := w.ScalingEvents(nil, namespace, id)
	if err != nil {
		return err
	}
	e, next := *event, *old
	e.CreateIndex, next.ModifyIndex = w.txn.meta.Index, w.txn.meta.Index
	next.Groups = maps.Clone(old.Groups)
	if next.Groups == nil {
		next.Groups = map[string][]*nomadish.ScalingEvent{}
	}
	events := append([]*nomadish.ScalingEvent{&e}, next.Groups[group]...)
	next.Groups[group] = events[:min(len(events), nomadish.MaxScalingEvents)]
	return put(w.txn, scalingEvents, &next)
}
