package fingerprint

import (
	"maps"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// DriverState is what a driver says of itself.
type DriverState struct {
	Detected   bool
	Healthy    bool
	Reason     string
	Attributes map[string]string
}

// Driver puts a driver's state into a node and says whether that changed anything. It
// replaces the node's attributes and leaves the old map as it was.
func Driver(n *nomadish.Node, name string, s DriverState, now time.Time) (changed bool) {
	if n.Drivers == nil {
		n.Drivers = map[string]*nomadish.DriverInfo{}
	}
	old := n.Drivers[name]
	attrs := maps.Clone(n.Attributes)
	if attrs == nil {
		attrs = map[string]string{}
	}
	if old != nil {
		for a := range old.Attributes {
			delete(attrs, a)
		}
	}
	delete(attrs, "driver."+name)
	if s.Detected {
		maps.Copy(attrs, s.Attributes)
	}
	if s.Healthy {
		attrs["driver."+name] = "1"
	} else {
		delete(attrs, "driver."+name)
	}
	same := old != nil && old.Detected == s.Detected && old.Healthy == s.Healthy && old.HealthDescription == s.Reason
	if same && maps.Equal(attrs, n.Attributes) {
		return false
	}
	n.Attributes = attrs
	n.Drivers[name] = &nomadish.DriverInfo{
		Attributes: s.Attributes, Detected: s.Detected, Healthy: s.Healthy, HealthDescription: s.Reason, UpdateTime: now.UTC(),
	}
	return true
}
