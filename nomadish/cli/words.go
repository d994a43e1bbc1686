package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// id shortens an ID to what people type.
func (c *call) id(s string) string {
	if c.remote.verbose {
		return s
	}
	return short(s)
}

func short(id string) string { return id[:min(8, len(id))] }

// when says at what time something happened: how long ago, or the time where all is asked for.
func (c *call) when(nanos int64) string {
	if nanos == 0 {
		return ""
	}
	t := time.Unix(0, nanos)
	if c.remote.verbose {
		return t.Format(time.RFC3339)
	}
	return age(c.Now().Sub(t)) + " ago"
}

// age is a duration in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	day := 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return d.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func number[T ~int | ~int64 | ~uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

// placementProblems says why groups could not be placed, a line or more per group.
func placementProblems(failed map[string]*nomadish.AllocationMetric) []string {
	var out []string
	for _, group := range slices.Sorted(maps.Keys(failed)) {
		m := failed[group]
		if m == nil {
			continue
		}
		out = append(out, fmt.Sprintf("group %q: %s not placed", group, plural(m.CoalescedFailures+1, "allocation")))
		for _, reason := range reasons(m) {
			out = append(out, "  * "+reason)
		}
	}
	return out
}

// reasons says why no node took an allocation.
func reasons(m *nomadish.AllocationMetric) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if m.NodesEvaluated == 0 && m.NodesFiltered == 0 && m.NodesExhausted == 0 {
		switch {
		case m.NodesInPool == 0 && m.NodePool != "":
			add("node pool %q has no node that is ready", m.NodePool)
		case len(m.NodesAvailable) == 0:
			add("no node in the job's datacenters is ready")
		default:
			add("no node is eligible")
		}
	}
	for _, dc := range slices.Sorted(maps.Keys(m.NodesAvailable)) {
		if m.NodesAvailable[dc] == 0 {
			add("datacenter %q has no node that is ready", dc)
		}
	}
	for _, r := range most(m.ConstraintFiltered) {
		add("constraint %q leaves out %s", r, plural(m.ConstraintFiltered[r], "node"))
	}
	if len(m.ConstraintFiltered) == 0 {
		for _, class := range most(m.ClassFiltered) {
			add("class %q is left out by constraints: %s", class, plural(m.ClassFiltered[class], "node"))
		}
	}
	for _, d := range most(m.DimensionExhausted) {
		add("%s: not enough is free on %s", d, plural(m.DimensionExhausted[d], "node"))
	}
	for _, q := range m.QuotaExhausted {
		add("quota %q is used up", q)
	}
	if evaluated := m.NodesEvaluated; evaluated > 0 {
		add("%s considered, %d left out by constraints, %d without room", plural(evaluated, "node"), m.NodesFiltered, m.NodesExhausted)
	}
	return out
}

// most sorts keys by their count, the largest first.
func most(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
}

// message is what a task event says.
func message(e *nomadish.TaskEvent) string {
	text := cmp.Or(e.DisplayMessage, e.Message, e.DriverError, e.SetupError, e.ValidationError, e.DownloadError, e.RestartReason, e.KillReason)
	for _, name := range []string{"restart_reason", "kill_error"} {
		if more := e.Details[name]; more != "" && !strings.Contains(text, more) && e.Type != nomadish.TaskEventNotRestarting {
			text += " (" + more + ")"
		}
	}
	return text
}

// didYouMean suggests the candidate that is nearest to word, if one is near.
func didYouMean(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}

// nearest returns the candidate that is nearest to word, or nothing if none is near.
func nearest(word string, candidates []string) string {
	best, distance := "", min(max(2, len(word)/3), len(word)-1)+1
	for _, c := range candidates {
		if len(c)+distance < len(word) || len(word)+distance < len(c) {
			continue
		}
		if d := edits(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// edits counts the letters to insert, remove or change to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// wrap breaks text into lines of so many columns; its own line ends stay.
func wrap(text string, width int) (lines []string) {
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && columns(line)+1+columns(word) > width {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return lines
}
