package nomadish

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones also where the machine has none

	"github.com/hashicorp/cronexpr"
)

// specs returns the specifications, whichever way they are given.
func (p *PeriodicConfig) specs() []string {
	if len(p.Specs) > 0 {
		return p.Specs
	}
	if Val(p.Spec) == "" {
		return nil
	}
	return []string{*p.Spec}
}

// Location returns the time zone in which the specifications are read.
func (p *PeriodicConfig) Location() (*time.Location, error) {
	if Val(p.TimeZone) == "" {
		return time.UTC, nil
	}
	return time.LoadLocation(*p.TimeZone)
}

// Next returns the first launch after a moment, or the zero time if there is none.
//
// Cron expressions have five to seven fields (seconds before, years after the usual
// ones) or one of the names @yearly, @annually, @monthly, @weekly, @daily and @hourly. They
// are matched against the clock on the wall in the job's time zone. Where a clock is put
// forward, a launch in the missing hour does not take place that day; where it is put back,
// one in the repeated hour takes place in both passes. That is Nomad's reading, and the
// reason to keep launches out of those hours or in UTC.
func (p *PeriodicConfig) Next(after time.Time) (time.Time, error) {
	zone, err := p.Location()
	if err != nil {
		return time.Time{}, Errorf(KindInvalid, "time zone %q: %w", Val(p.TimeZone), err)
	}
	var first time.Time
	for _, spec := range p.specs() {
		next, err := nextLaunch(Val(p.SpecType), spec, after.In(zone))
		if err != nil {
			return time.Time{}, err
		}
		if !next.IsZero() && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first, nil
}

func nextLaunch(kind, spec string, after time.Time) (time.Time, error) {
	if kind == PeriodicSpecTest {
		return nextListed(spec, after)
	}
	expr, err := parseCron(spec)
	if err != nil {
		return time.Time{}, Errorf(KindInvalid, "cron %q: %w", spec, err)
	}
	return expr.Next(after), nil
}

// nextListed finds the next of a list of moments, in seconds since 1970.
func nextListed(spec string, after time.Time) (time.Time, error) {
	var launches []time.Time
	for s := range strings.SplitSeq(spec, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return time.Time{}, Errorf(KindInvalid, "launch time %q: %w", s, err)
		}
		launches = append(launches, time.Unix(n, 0))
	}
	slices.SortFunc(launches, time.Time.Compare)
	for _, t := range launches {
		if t.After(after) {
			return t, nil
		}
	}
	return time.Time{}, nil
}

var errCronParser = errors.New("unsupported expression")

// parseCron parses an expression. The parser panics on some bad ones.
func parseCron(spec string) (expr *cronexpr.Expression, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errCronParser, r)
		}
	}()
	return cronexpr.Parse(spec)
}
