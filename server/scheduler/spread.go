package scheduler

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// property is an attribute of nodes whose values the allocations of a job are counted by:
// for a spread, or for distinct_property.
type property struct {
	attribute string
	limit     int              // distinct_property: so many allocations for each value; 0: a spread
	wholeJob  bool             // all groups of the job count
	weight    float64          // of a spread, as a share of all its group's spreads
	spread    *nomadish.Spread // nil for distinct_property
	used      map[string]int
	seen      map[string]bool // values that feasible nodes have
	ranged    bool            // least and most are worked out
	least     int
	most      int
}

// properties lists what a group's allocations are counted by.
func properties(job *nomadish.Job, tg *nomadish.TaskGroup) []*property {
	var ps []*property
	sum := 0.0
	for _, s := range slices.Concat(tg.Spreads, job.Spreads) {
		if s != nil {
			sum += float64(nomadish.Val(s.Weight))
		}
	}
	for _, s := range slices.Concat(tg.Spreads, job.Spreads) {
		if s != nil && sum > 0 {
			ps = append(ps, &property{attribute: s.Attribute, weight: float64(nomadish.Val(s.Weight)) / sum, spread: s})
		}
	}
	add := func(cs []*nomadish.Constraint, wholeJob bool) {
		for _, c := range cs {
			if c == nil || c.Operand != distinctProperty {
				continue
			}
			limit, err := strconv.Atoi(c.RTarget)
			if err != nil || limit < 1 {
				limit = 1
			}
			ps = append(ps, &property{attribute: c.LTarget, limit: limit, wholeJob: wholeJob})
		}
	}
	add(job.Constraints, true)
	add(tg.Constraints, false)
	for _, t := range tg.Tasks {
		add(t.Constraints, false)
	}
	for _, p := range ps {
		p.used, p.seen = map[string]int{}, map[string]bool{}
	}
	return ps
}

// full says that no further allocation may have this value.
func (p *property) full(v value) bool { return p.limit > 0 && (!v.set || p.used[v.text] >= p.limit) }

// text says why nodes with a value are left out.
func (p *property) text(v value) string {
	return distinctProperty + ": " + p.attribute + "=" + v.text + " used by " + strconv.Itoa(p.used[v.text]) + " allocs"
}

// score is from -1 to 1: how much a value is behind its share. With targets, a value's share
// is its percentage of count; without, the least used value is the best.
func (p *property) score(v value, count int) float64 {
	if !v.set {
		return -1
	}
	if len(p.spread.SpreadTarget) == 0 {
		return p.even(v.text)
	}
	rest := 100
	for _, t := range p.spread.SpreadTarget {
		if t.Value == v.text {
			return behind(int(t.Percent), count, p.used[v.text])
		}
		rest -= int(t.Percent)
	}
	if rest <= 0 {
		return -1
	}
	return behind(rest, count, p.used[v.text])
}

func behind(percent, count, used int) float64 {
	want := float64(percent) / 100 * float64(count)
	if want == 0 {
		return -1
	}
	return max((want-float64(used))/want, -1)
}

// even compares the use of a value with the least and most used ones.
func (p *property) even(v string) float64 {
	if !p.ranged {
		p.ranged = true
		p.least, p.most = -1, 0
		for s := range p.seen { // least and most are the same in any order
			n := p.used[s]
			p.most = max(p.most, n)
			if p.least < 0 || n < p.least {
				p.least = n
			}
		}
	}
	if p.most == p.least {
		return 0
	}
	return 1 - 2*float64(p.used[v]-p.least)/float64(p.most-p.least)
}

// tuple is the values of all properties on a node.
type tuple struct {
	values []value
	stale  bool
	boost  float64 // of the spreads, weighted
	full   string  // why no further allocation may go there, or ""
}

func tupleKey(values []value) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(strconv.Quote(v.text))
		b.WriteString(strconv.FormatBool(v.set))
	}
	return b.String()
}
