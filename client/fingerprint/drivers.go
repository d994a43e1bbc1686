package fingerprint

import (
	"context"
	"maps"
	"slices"
	"strings"
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

// Drivers puts the drivers' states into a node and says whether anything changed by it.
func Drivers(n *nomadish.Node, states map[string]DriverState, now time.Time) (changed bool) {
	if n.Drivers == nil {
		n.Drivers = map[string]*nomadish.DriverInfo{}
	}
	attrs := maps.Clone(n.Attributes)
	maps.DeleteFunc(attrs, func(name, _ string) bool { return strings.HasPrefix(name, "driver.") })
	for _, name := range slices.Sorted(maps.Keys(states)) {
		s := states[name]
		if s.Detected && s.Healthy {
			attrs["driver."+name] = "1"
		}
		if s.Detected {
			maps.Copy(attrs, s.Attributes)
		}
		old := n.Drivers[name]
		if old != nil && old.Detected == s.Detected && old.Healthy == s.Healthy && old.HealthDescription == s.Reason {
			continue
		}
		n.Drivers[name] = &nomadish.DriverInfo{
			Attributes: s.Attributes, Detected: s.Detected, Healthy: s.Healthy, HealthDescription: s.Reason, UpdateTime: now.UTC(),
		}
		changed = true
	}
	changed = changed || !maps.Equal(attrs, n.Attributes)
	n.Attributes = attrs
	return changed
}

// Probe is how a driver is asked.
type Probe func(ctx context.Context) (DriverState, error)

// AskDrivers asks all drivers at once, each for at most timeout: one that hangs is
// unhealthy and does not hold up the others.
func AskDrivers(ctx context.Context, probes map[string]Probe, timeout time.Duration) map[string]DriverState {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type answer struct {
		name  string
		state DriverState
	}
	answers := make(chan answer, len(probes))
	for name, probe := range probes {
		go func() {
			state, err := probe(ctx)
			if err != nil {
				state = DriverState{Detected: true, Reason: err.Error()}
			}
			answers <- answer{name, state}
		}()
	}
	out := map[string]DriverState{}
	for range probes {
		a := <-answers
		out[a.name] = a.state
	}
	return out
}
