package nomadish

import (
	"fmt"
	"slices"
	"time"
)

// Shortest times that policies may ask for.
const (
	minRestartInterval = 5 * time.Second
	minRescheduleDelay = 5 * time.Second
)

var delayFunctions = []string{DelayConstant, DelayExponential, DelayFibonacci}

func (r *RestartPolicy) validate(f *faults) {
	mode, attempts, interval, delay := Val(r.Mode), Val(r.Attempts), Val(r.Interval), Val(r.Delay)
	if mode != RestartModeDelay && mode != RestartModeFail {
		f.add("Mode", "Unsupported restart mode: %q", mode)
		return
	}
	if attempts == 0 && mode != RestartModeFail {
		f.add("Attempts", "Restart policy %q with %d attempts is ambiguous", mode, attempts)
	}
	if attempts < 0 {
		f.add("Attempts", "Restart attempts can not be less than zero: %d < 0", attempts)
	}
	if interval < minRestartInterval {
		f.add("Interval", "Interval can not be less than %v (got %v)", minRestartInterval, interval)
	}
	if delay < 0 || delay > 0 && attempts > 0 && time.Duration(attempts) > interval/delay {
		f.add("Delay", "Nomad can't restart the TaskGroup %v times in an interval of %v with a delay of %v", attempts, interval, delay)
	}
}

func (r *ReschedulePolicy) validate(f *faults) {
	attempts, unlimited := Val(r.Attempts), Val(r.Unlimited)
	delay, maxDelay, interval := Val(r.Delay), Val(r.MaxDelay), Val(r.Interval)
	function := Val(r.DelayFunction)
	if attempts <= 0 && !unlimited {
		return // switched off
	}
	if attempts > 0 && interval <= 0 && !unlimited {
		f.add("Interval", "Interval must be a non-zero value if Attempts > 0")
	}
	known := slices.Contains(delayFunctions, function)
	if delay < minRescheduleDelay {
		f.add("Delay", "Delay cannot be less than %v (got %v)", minRescheduleDelay, delay)
	}
	if !known {
		f.add("DelayFunction", "Invalid delay function %q, must be one of %q", function, delayFunctions)
	}
	if function != DelayConstant && known {
		if maxDelay < minRescheduleDelay {
			f.add("MaxDelay", "Max Delay cannot be less than %v (got %v)", minRescheduleDelay, maxDelay)
		}
		if maxDelay < delay {
			f.add("MaxDelay", "Max Delay cannot be less than Delay %v (got %v)", delay, maxDelay)
		}
	}
	if unlimited || !known || delay < minRescheduleDelay || interval <= 0 {
		return
	}
	if possible, needed := r.attemptsWithin(); possible < attempts {
		growth := ""
		if function != DelayConstant {
			growth = fmt.Sprintf(", and max delay %v", maxDelay)
		}
		f.add("Interval", "Nomad can only make %v attempts in %v with initial delay %v, delay function %q%s", possible, interval, delay, function, growth)
		f.add("Interval", "Set the interval to at least %v to accommodate %v attempts", needed.Round(time.Second), attempts)
	}
}

// attemptsWithin returns how many of the attempts fit in the interval, and the interval
// that all of them need.
func (r *ReschedulePolicy) attemptsWithin() (possible int, needed time.Duration) {
	delay, before := *r.Delay, time.Duration(0)
	limit := Val(r.MaxDelay)
	const longest = 100 * 365 * 24 * time.Hour // keeps the sum from overflowing
	for n := range min(*r.Attempts, 1_000_000) {
		if needed += delay; needed > longest {
			break
		}
		if needed <= *r.Interval {
			possible = n + 1
		}
		next := delay
		switch *r.DelayFunction {
		case DelayExponential:
			next = delay * 2
		case DelayFibonacci:
			next = delay + before
		}
		before, delay = delay, next
		if limit > 0 && *r.DelayFunction != DelayConstant {
			delay = min(delay, limit)
		}
	}
	return possible, needed
}

func (u *UpdateStrategy) validate(f *faults) {
	switch h := Val(u.HealthCheck); h {
	case "checks", "task_states", "manual":
	default:
		f.add("HealthCheck", "Invalid health check given: %q", h)
	}
	parallel, canary := Val(u.MaxParallel), Val(u.Canary)
	healthy, deadline, progress := Val(u.MinHealthyTime), Val(u.HealthyDeadline), Val(u.ProgressDeadline)
	if parallel < 0 {
		f.add("MaxParallel", "Max parallel can not be less than zero: %d < 0", parallel)
	}
	if canary < 0 {
		f.add("Canary", "Canary count can not be less than zero: %d < 0", canary)
	}
	if canary == 0 && Val(u.AutoPromote) {
		f.add("AutoPromote", "Auto Promote requires a Canary count greater than zero")
	}
	if healthy < 0 {
		f.add("MinHealthyTime", "Minimum healthy time may not be less than zero: %v", healthy)
	}
	if deadline <= 0 {
		f.add("HealthyDeadline", "Healthy deadline must be greater than zero: %v", deadline)
	}
	if progress < 0 {
		f.add("ProgressDeadline", "Progress deadline must be zero or greater: %v", progress)
	}
	if healthy >= deadline {
		f.add("MinHealthyTime", "Minimum healthy time must be less than healthy deadline: %v > %v", healthy, deadline)
	}
	if progress != 0 && deadline >= progress {
		f.add("HealthyDeadline", "Healthy deadline must be less than progress deadline: %v > %v", deadline, progress)
	}
	if s := Val(u.Stagger); s <= 0 {
		f.add("Stagger", "Stagger must be greater than zero: %v", s)
	}
}

func (m *MigrateStrategy) validate(f *faults) {
	if n := Val(m.MaxParallel); n < 0 {
		f.add("MaxParallel", "MaxParallel must be >= 0 but found %d", n)
	}
	switch h := Val(m.HealthCheck); h {
	case "checks", "task_states":
	case "":
		if Val(m.MaxParallel) > 0 {
			f.add("HealthCheck", "Missing HealthCheck")
		}
	default:
		f.add("HealthCheck", "Invalid HealthCheck: %q", h)
	}
	healthy, deadline := Val(m.MinHealthyTime), Val(m.HealthyDeadline)
	if healthy < 0 {
		f.add("MinHealthyTime", "MinHealthyTime is %s and must be >= 0", healthy)
	}
	if deadline < 0 {
		f.add("HealthyDeadline", "HealthyDeadline is %s and must be >= 0", deadline)
	}
	if healthy > deadline {
		f.add("MinHealthyTime", "MinHealthyTime must be less than HealthyDeadline")
	}
}
