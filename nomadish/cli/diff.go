package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// diffText writes how versions of a job differ, in the form that Nomad's users know: + for what
// was added, - for what was deleted, +/- for what was edited.
type diffText struct {
	b     strings.Builder
	color bool
	all   bool // also what is inside of groups and tasks that came or went as a whole
}

// jobDiff is a diff as text.
func (c *call) jobDiff(d *nomadish.JobDiff) string {
	t := &diffText{color: c.colored(c.Stdout), all: c.remote.verbose}
	t.job(d)
	return t.b.String()
}

func (t *diffText) job(d *nomadish.JobDiff) {
	t.line(0, d.Type, "Job: %q", d.ID)
	if t.inside(d.Type) {
		t.body(0, d.Fields, d.Objects)
	}
	for _, g := range d.TaskGroups {
		t.line(0, g.Type, "Task Group: %q%s", g.Name, updatesText(g.Updates))
		if t.inside(g.Type) {
			t.body(1, g.Fields, g.Objects)
		}
		for _, task := range g.Tasks {
			t.line(1, task.Type, "Task: %q%s", task.Name, notesText(task.Annotations))
			if t.inside(task.Type) {
				t.body(2, task.Fields, task.Objects)
			}
		}
	}
}

// inside says whether what is inside of something is shown.
func (t *diffText) inside(kind string) bool { return t.all || kind == nomadish.DiffEdited }

func (t *diffText) body(depth int, fields []*nomadish.FieldDiff, objects []*nomadish.ObjectDiff) {
	width := 0
	for _, f := range fields {
		width = max(width, columns(f.Name)+1)
	}
	for _, f := range fields {
		t.field(depth, width, f)
	}
	for _, o := range objects {
		if len(o.Fields)+len(o.Objects) == 0 {
			continue
		}
		t.line(depth, o.Type, "%s {", o.Name)
		t.body(depth+1, o.Fields, o.Objects)
		t.line(depth, "", "}")
	}
}

func (t *diffText) field(depth, width int, f *nomadish.FieldDiff) {
	name := pad(f.Name+":", width)
	if f.Type == nomadish.DiffEdited && strings.Contains(f.Old+f.New, "\n") {
		t.line(depth, f.Type, "%s%s", name, notesText(f.Annotations))
		t.lines(depth+1, f.Old, f.New)
		return
	}
	text := strconv.Quote(f.New)
	switch f.Type {
	case nomadish.DiffDeleted:
		text = strconv.Quote(f.Old)
	case nomadish.DiffEdited:
		text = fmt.Sprintf("%q => %q", f.Old, f.New)
	}
	t.line(depth, f.Type, "%s %s%s", name, text, notesText(f.Annotations))
}

// contextLines is how many equal lines are shown around those that differ.
const contextLines = 2

// lines compares two texts line by line.
func (t *diffText) lines(depth int, old, next string) {
	edits := lineEdits(strings.Split(old, "\n"), strings.Split(next, "\n"))
	near := make([]bool, len(edits))
	for i, e := range edits {
		if e.kind != nomadish.DiffNone {
			for j := max(0, i-contextLines); j <= min(len(edits)-1, i+contextLines); j++ {
				near[j] = true
			}
		}
	}
	for i, e := range edits {
		switch {
		case near[i]:
			t.line(depth, e.kind, "%s", e.text)
		case i == 0 || near[i-1]:
			t.line(depth, "", "…")
		}
	}
}

// lineEdit is a line that stays, comes or goes.
type lineEdit struct{ kind, text string }

// maxCompared bounds the table of lineEdits.
const maxCompared = 1 << 20

// lineEdits says which lines to delete and add to make next of old.
func lineEdits(old, next []string) []lineEdit {
	head := 0
	for head < len(old) && head < len(next) && old[head] == next[head] {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(next)-head && old[len(old)-1-tail] == next[len(next)-1-tail] {
		tail++
	}
	var edits []lineEdit
	add := func(kind string, lines []string) {
		for _, s := range lines {
			edits = append(edits, lineEdit{kind, s})
		}
	}
	add(nomadish.DiffNone, old[:head])
	edits = append(edits, middleEdits(old[head:len(old)-tail], next[head:len(next)-tail])...)
	add(nomadish.DiffNone, old[len(old)-tail:])
	return edits
}

// middleEdits keeps as many lines as possible. What is too long to compare is replaced whole.
func middleEdits(old, next []string) []lineEdit {
	var edits []lineEdit
	if len(old)*len(next) > maxCompared {
		for _, s := range old {
			edits = append(edits, lineEdit{nomadish.DiffDeleted, s})
		}
		for _, s := range next {
			edits = append(edits, lineEdit{nomadish.DiffAdded, s})
		}
		return edits
	}
	common := make([][]int, len(old)+1) // how many lines old[i:] and next[j:] have in common
	for i := range common {
		common[i] = make([]int, len(next)+1)
	}
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(next) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if old[i] == next[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(old) || j < len(next) {
		switch {
		case i < len(old) && j < len(next) && old[i] == next[j]:
			edits = append(edits, lineEdit{nomadish.DiffNone, old[i]})
			i, j = i+1, j+1
		case j == len(next) || i < len(old) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, lineEdit{nomadish.DiffDeleted, old[i]})
			i++
		default:
			edits = append(edits, lineEdit{nomadish.DiffAdded, next[j]})
			j++
		}
	}
	return edits
}

// line writes a line with the mark of how what it shows differs.
func (t *diffText) line(depth int, kind, format string, args ...any) {
	mark, tone := "   ", toneNone
	switch kind {
	case nomadish.DiffAdded:
		mark, tone = "+  ", toneGood
	case nomadish.DiffDeleted:
		mark, tone = "-  ", toneBad
	case nomadish.DiffEdited:
		mark, tone = "+/-", toneBusy
	}
	text := printable(strings.TrimRight(mark+" "+fmt.Sprintf(format, args...), " "))
	if t.color {
		text = tone.paint(text)
	}
	fmt.Fprintf(&t.b, "%s%s\n", strings.Repeat("  ", depth), text)
}

// updatesText says what becomes of a group's allocations.
func updatesText(updates map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(updates)) {
		parts = append(parts, fmt.Sprintf("%d %s", updates[name], name))
	}
	return notesText(parts)
}

func notesText(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
}
