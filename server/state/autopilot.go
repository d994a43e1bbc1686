package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// TableAutopilot holds the configuration of autopilot.
const TableAutopilot = "autopilot_config"

var autopilotKey = []byte{0}

var autopilots = newTable[nomadish.AutopilotConfiguration](40, TableAutopilot,
	func(*nomadish.AutopilotConfiguration) ([]byte, error) { return autopilotKey, nil })

// Autopilot returns the configuration of autopilot: the default one until somebody sets another.
func (r Reader) Autopilot(ws memdb.WatchSet) *nomadish.AutopilotConfiguration {
	if c, ok := first(r, ws, autopilots, autopilotKey); ok {
		return c
	}
	return nomadish.DefaultAutopilot()
}

// PutAutopilot stores the configuration of autopilot.
func (w *Writer) PutAutopilot(config *nomadish.AutopilotConfiguration) error {
	c := *config
	w.stamp(&c.CreateIndex, &c.ModifyIndex, w.Autopilot(nil).CreateIndex)
	return put(w.txn, autopilots, &c)
}
