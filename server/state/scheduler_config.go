package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var schedulerConfigKey = []byte{0}

var schedulerConfigs = newTable[nomadish.SchedulerConfiguration](11, TableSchedulerConfig,
	func(*nomadish.SchedulerConfiguration) ([]byte, error) { return schedulerConfigKey, nil })

// SchedulerConfig returns the scheduler configuration: bin packing, and preemption by
// system jobs alone, until somebody sets it.
func (r Reader) SchedulerConfig(ws memdb.WatchSet) *nomadish.SchedulerConfiguration {
	if c, ok := first(r, ws, schedulerConfigs, schedulerConfigKey); ok {
		return c
	}
	return &nomadish.SchedulerConfiguration{
		SchedulerAlgorithm: nomadish.SchedulerBinpack,
		PreemptionConfig:   nomadish.PreemptionConfig{SystemSchedulerEnabled: true},
	}
}

// PutSchedulerConfig stores the scheduler configuration.
func (w *Writer) PutSchedulerConfig(config *nomadish.SchedulerConfiguration) error {
	c := *config
	w.stamp(&c.CreateIndex, &c.ModifyIndex, w.SchedulerConfig(nil).CreateIndex)
	return put(w.txn, schedulerConfigs, &c)
}
