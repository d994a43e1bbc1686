package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// editedJob is a diff with one of everything.
func editedJob() *nomadish.JobDiff {
	field := func(kind, name, old, next string, notes ...string) *nomadish.FieldDiff {
		return &nomadish.FieldDiff{Type: kind, Name: name, Old: old, New: next, Annotations: notes}
	}
	return &nomadish.JobDiff{
		Type: "Edited", ID: "web", Fields: []*nomadish.FieldDiff{field("Added", "Meta[owner]", "", "evil\x1b[2J")},
		TaskGroups: []*nomadish.TaskGroupDiff{
			{
				Type: "Edited", Name: "g", Updates: map[string]uint64{"ignore": 2, "create": 1},
				Fields:  []*nomadish.FieldDiff{field("Edited", "Count", "2", "3", "forces create")},
				Objects: []*nomadish.ObjectDiff{{Type: "Edited", Name: "Scaling"}},
				Tasks: []*nomadish.TaskDiff{
					{Type: "None", Name: "logs"},
					{
						Type: "Edited", Name: "t", Annotations: []string{"forces create/destroy update"},
						Objects: []*nomadish.ObjectDiff{
							{Type: "Edited", Name: "Config", Fields: []*nomadish.FieldDiff{
								field("None", "args[0]", "-v", "-v"), field("Edited", "image", "a:1", "a:2"), field("Deleted", "tty", "true", ""),
							}},
							{Type: "Edited", Name: "Template", Fields: []*nomadish.FieldDiff{field("Edited", "EmbeddedTmpl", "1\n2\n3\n4\n5", "1\n2\n3\n4\nfive")}},
						},
					},
				},
			},
			{Type: "Added", Name: "new", Updates: map[string]uint64{"create": 1}, Tasks: []*nomadish.TaskDiff{
				{Type: "Added", Name: "t", Annotations: []string{"forces create"}, Fields: []*nomadish.FieldDiff{field("Added", "Driver", "", "docker")}},
			}},
		},
	}
}

// TestDiffText: marks say what differs; blocks without content are left out; texts of several
// lines are compared line by line; what came as a whole is shown in full only when asked for.
func TestDiffText(t *testing.T) {
	const head = `+/- Job: "web"
+   Meta[owner]: "evil\x1b[2J"
+/- Task Group: "g" (1 create, 2 ignore)
  +/- Count: "2" => "3" (forces create)
      Task: "logs"
  +/- Task: "t" (forces create/destroy update)
    +/- Config {
          args[0]: "-v"
      +/- image:   "a:1" => "a:2"
      -   tty:     "true"
        }
    +/- Template {
      +/- EmbeddedTmpl:
            …
            3
            4
        -   5
        +   five
        }
+   Task Group: "new" (1 create)
  +   Task: "t" (forces create)
`
	for all, want := range map[bool]string{false: head, true: head + "    +   Driver: \"docker\"\n"} {
		d := &diffText{all: all}
		d.job(editedJob())
		if diff := cmp.Diff(want, d.b.String()); diff != "" {
			t.Errorf("all %t (-want +got):\n%s", all, diff)
		}
	}
}

// TestDiffColors: each line is in the color of its mark.
func TestDiffColors(t *testing.T) {
	d := &diffText{color: true}
	d.job(editedJob())
	for _, want := range []string{
		"\x1b[33m+/- Job: \"web\"\x1b[0m\n", "\x1b[31m-   tty:     \"true\"\x1b[0m\n", "\x1b[32m+   five\x1b[0m\n", "          args[0]: \"-v\"\n",
	} {
		if !strings.Contains(d.b.String(), want) {
			t.Errorf("got %q, want it to contain %q", d.b.String(), want)
		}
	}
}

// FuzzLineEdits: the edits make the new text of the old one, whatever these are.
func FuzzLineEdits(f *testing.F) {
	f.Add("a\nb\nc", "a\nc\nd")
	f.Add("", "x")
	f.Add("same", "same")
	f.Fuzz(func(t *testing.T, old, next string) {
		var was, is []string
		for _, e := range lineEdits(strings.Split(old, "\n"), strings.Split(next, "\n")) {
			if e.kind != nomadish.DiffAdded {
				was = append(was, e.text)
			}
			if e.kind != nomadish.DiffDeleted {
				is = append(is, e.text)
			}
			if e.kind != nomadish.DiffNone && old == next {
				t.Errorf("equal texts differ in %q", e.text)
			}
		}
		if got := strings.Join(was, "\n"); got != old {
			t.Errorf("old text: got %q, want %q", got, old)
		}
		if got := strings.Join(is, "\n"); got != next {
			t.Errorf("new text: got %q, want %q", got, next)
		}
	})
}

// testPlan: the exit code of job plan says whether allocations come or go; versions of a job
// are listed, named, compared and brought back.
func testPlan(t *testing.T, c *cluster) {
	file := c.file(t, "planned", "service", "count = 1", `run_for = "1h"`)
	check := func(code int, wants []string, args ...string) {
		t.Helper()
		got := c.run(t, args...)
		if got.code != code {
			t.Errorf("%s: code %d, want %d\n%s%s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
		}
		for _, want := range wants {
			if !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("%s: want %q in\n%s%s", strings.Join(args, " "), want, got.stdout, got.stderr)
			}
		}
	}
	check(1, []string{`+   Job: "planned"`, "planned.g[0]  n1", "nomadish job run -check-index 0 " + file}, "job", "plan", file)
	check(1, []string{"nomadish job run -check-index 0 -hcl2-strict=false -var 'a=b c' " + file},
		"job", "plan", "-hcl2-strict=false", "-var", "a=b c", file)
	check(0, nil, "job", "run", file)
	check(0, []string{`    Job: "planned"`, `Task Group: "g" (1 ignore)`, "All tasks successfully allocated"}, "job", "plan", file)
	check(ExitPlanFailed, []string{"no such file"}, "job", "plan", file+".none")
	check(ExitUsage, nil, "job", "plan")

	c.file(t, "planned", "service", "count = 3", `run_for = "1h"`)
	check(1, []string{"(2 create, 1 in-place update)", `+/- Count: "1" => "3" (forces create)`, "planned.g[2]  n1"}, "plan", file)
	check(1, []string{"planned.g[1] planned.g[2] "}, "plan", "-t", "{{range .Placements}}{{.Name}} {{end}}", file)
	check(0, nil, "job", "run", file)

	check(0, nil, "job", "tag", "apply", "-name", "first", "-version", "0", "planned")
	check(0, []string{"Version   = 1", "Tag       = first"}, "job", "history", "planned")
	check(0, []string{`+/- Count: "1" => "3"`}, "job", "history", "-p", "-version", "1", "planned")
	check(0, []string{"Edited 1"}, "job", "history", "-p", "-diff-tag", "first", "-t", "{{(index .Diffs 0).Type}} {{len .Versions}}", "-version", "1", "planned")
	check(ExitFailed, []string{`did you mean "first"?`}, "job", "revert", "planned", "fist")
	check(0, nil, "job", "revert", "planned", "first")
	check(0, nil, "job", "scale", "-message", "sale", "planned", "2")
	check(ExitFailed, []string{"does not exist"}, "job", "scale", "planned", "x", "2")
	check(0, []string{"sale"}, "job", "scaling-events", "planned")
	check(0, []string{"g 2 1"}, "job", "scaling-events", "-t", "{{range .}}{{.TaskGroup}} {{.Count}} {{.PreviousCount}}{{end}}", "planned")
	check(0, nil, "job", "tag", "unset", "-name", "first", "planned")
	check(0, nil, "job", "eval", "planned")
	check(0, []string{"planned.g[1]"}, "job", "allocs", "planned")
	check(0, []string{"no deployments"}, "job", "deployments", "planned")
	check(0, nil, "job", "stop", "-purge", "planned")
}
