package alloc

import (
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Defaults of an update strategy's health, as in Nomad.
const (
	defaultMinHealthy      = 10 * time.Second
	defaultHealthyDeadline = 5 * time.Minute
)

// healthRule is when an allocation counts as healthy in its deployment.
type healthRule struct {
	min      time.Duration // all tasks must run this long without a restart
	deadline time.Duration // within this time
}

// healthRuleOf returns the rule, or nil when nobody asks for the allocation's health.
func healthRuleOf(a *nomadish.Allocation, g *nomadish.TaskGroup) *healthRule {
	if a.DeploymentID == "" {
		return nil
	}
	rule := healthRule{min: defaultMinHealthy, deadline: defaultHealthyDeadline}
	for _, u := range []*nomadish.UpdateStrategy{a.Job.Update, g.Update} {
		if u == nil {
			continue
		}
		if nomadish.Val(u.HealthCheck) == "manual" {
			return nil
		}
		if u.MinHealthyTime != nil {
			rule.min = *u.MinHealthyTime
		}
		if u.HealthyDeadline != nil {
			rule.deadline = *u.HealthyDeadline
		}
	}
	return &rule
}

// judge decides on an allocation that is known to the node for age. When it can't decide
// yet it says after which time to ask again, if nothing changes before.
func (r healthRule) judge(views []view, now time.Time, age time.Duration) (healthy, decided bool, again time.Duration) {
	rest := r.deadline - age
	since := time.Time{}
	for _, v := range views {
		if v.failed() {
			return false, true, 0
		}
		if v.task.Lifecycle != nil && !v.task.Lifecycle.Sidecar {
			continue // it prepares or cleans up
		}
		if !v.running() {
			return false, rest <= 0, rest
		}
		if v.record.State.StartedAt.After(since) {
			since = v.record.State.StartedAt
		}
	}
	steady := min(now.Sub(since), age+r.min) // a clock that jumped ahead proves nothing
	switch {
	case steady >= r.min:
		return true, true, 0
	case rest <= 0:
		return false, true, 0
	}
	return false, false, min(r.min-steady, rest)
}
