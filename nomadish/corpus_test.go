package nomadish_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

const jobFiles = "../jobspec/testdata"

// reference is the cluster that answered for the corpora: no Vault, only what is default.
func reference() nomadish.Admission {
	only := func(name string) bool { return name == "default" }
	return nomadish.Admission{NamespaceExists: only, NodePoolExists: only}
}

func table(t *testing.T, name string) [][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n")[1:] {
		rows = append(rows, strings.Split(line, "\t"))
	}
	return rows
}

// parseJob reads a job file of the corpora with its variables.
func parseJob(t testing.TB, id string) *nomadish.Job {
	t.Helper()
	base := filepath.Join(jobFiles, "jobs", id)
	text, err := os.ReadFile(base + ".nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	vars, err := os.ReadFile(base + ".vars.hcl")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	job, err := jobspec.Parse(jobspec.Config{Body: text, VarContent: string(vars)})
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return job
}

var spaces = regexp.MustCompile(`\s+`)

func oneLine(s string) string { return strings.TrimSpace(spaces.ReplaceAllString(s, " ")) }

// TestCorpusVerdicts: jobs are accepted, warned of or refused as by Nomad, in its words.
func TestCorpusVerdicts(t *testing.T) {
	for _, row := range table(t, filepath.Join(jobFiles, "index.tsv")) {
		id, want := row[0], row[5]
		job := parseJob(t, id)
		job.Admit()
		err := reference().Validate(job)
		warnings := reference().Warnings(job)
		got := "OK"
		var invalid *nomadish.ValidationError
		switch {
		case errors.As(err, &invalid):
			var texts []string
			for _, f := range invalid.Faults {
				texts = append(texts, oneLine(f.String()))
			}
			got = "ERR " + strings.Join(texts, " | ")
		case len(warnings) > 0:
			got = "WARN " + oneLine(warnings.String())
		}
		if got != want {
			t.Errorf("%s: got %s\nwant %s", id, got, want)
		}
	}
}

// TestCorpusResponses: the warnings of a registration are Nomad's to the letter.
func TestCorpusResponses(t *testing.T) {
	names, err := filepath.Glob("testdata/registered/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want struct{ Response struct{ Warnings string } }
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		job := parseJob(t, strings.TrimSuffix(filepath.Base(name), ".json"))
		job.Admit()
		if err := job.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := job.Warnings().String(); got != want.Response.Warnings {
			t.Errorf("%s: got %q\nwant %q", name, got, want.Response.Warnings)
		}
	}
}

// TestCorpusRefusals: what can't be registered is refused with Nomad's text.
func TestCorpusRefusals(t *testing.T) {
	for _, row := range table(t, "testdata/registered/refused.tsv") {
		if row[2] == "No path to region" {
			continue // for whoever knows the regions
		}
		job := parseJob(t, row[0])
		job.Admit()
		err := reference().Validate(job)
		want := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(row[2])
		if err == nil || strings.TrimRight(err.Error(), "\n") != want {
			t.Errorf("%s: got %v\nwant %v", row[0], err, want)
		}
	}
}

// TestMalformedVerdicts: a job that only validation can refuse is refused as by Nomad,
// but for what is a fault of Nomad's (see Admission.Validate).
func TestMalformedVerdicts(t *testing.T) {
	ours := map[string]string{"b143": `Task name cannot be "..", which is a directory of the allocation`}
	for _, row := range table(t, filepath.Join(jobFiles, "malformed", "index.tsv")) {
		if row[3] != "ok" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(jobFiles, "malformed", row[2]))
		if err != nil {
			t.Fatal(err)
		}
		job, err := jobspec.Parse(jobspec.Config{Body: text})
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		job.Admit()
		err = reference().Validate(job)
		if want, ok := ours[row[0]]; ok {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", row[0], err, want)
			}
			continue
		}
		checkVerdict(t, row, err)
	}
}

// checkVerdict compares with a row of the index: whether the job was refused, and the
// messages, which the index cuts off at 200 bytes.
func checkVerdict(t *testing.T, row []string, err error) {
	t.Helper()
	if row[4] == "OK" {
		if err != nil {
			t.Errorf("%s: got %v, want it accepted", row[0], err)
		}
		return
	}
	if err == nil {
		t.Errorf("%s: accepted, want %s", row[0], row[5])
		return
	}
	got := regexp.MustCompile(`^\d+ errors? occurred: \* `).ReplaceAllString(oneLine(err.Error()), "")
	got = strings.ReplaceAll(got, " * Job Name", " | Job Name")
	if want := strings.TrimSpace(row[5]); !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %s\nwant %s", row[0], got, want)
	}
}

// TestFaultsPointIntoTheFile: the path of a fault is one of the places that a job file's
// reader knows.
func TestFaultsPointIntoTheFile(t *testing.T) {
	for file, want := range map[string]string{
		"b041__count-negative.hcl":               "group.g.count",
		"b015__dup-task.hcl":                     "group.g.task.t",
		"b067__duration-negative.hcl":            "group.g.task.t.kill_timeout",
		"b155__check-http-no-path.hcl":           "group.g.service.check.path",
		"b161__update-max-parallel-negative.hcl": "group.g.update.max_parallel",
		"b203__artifact-escape.hcl":              "group.g.task.t.artifact.destination",
		"b211__ephemeral-disk-negative.hcl":      "group.g.ephemeral_disk.size",
	} {
		text, err := os.ReadFile(filepath.Join(jobFiles, "malformed", file))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := jobspec.Load(jobspec.Config{Body: text})
		if err != nil {
			t.Fatal(err)
		}
		spec.Job.Admit()
		var invalid *nomadish.ValidationError
		if !errors.As(spec.Job.Validate(), &invalid) {
			t.Fatalf("%s: valid", file)
		}
		for f := range invalid.Leaves() {
			path := spec.Job.FilePath(f.Path)
			if path != want {
				t.Errorf("%s: got %s, want %s", file, path, want)
			}
			if _, ok := spec.Positions.Find(path); !ok {
				t.Errorf("%s: %s has no place in the file", file, path)
			}
			break
		}
	}
}

// TestDriverWarnings: a task whose driver, or whose driver's options, the cluster doesn't
// know is accepted with a warning.
func TestDriverWarnings(t *testing.T) {
	admission := nomadish.Admission{Drivers: map[string]nomadish.ConfigSchema{"raw_exec": {
		"command": {Type: nomadish.ConfigString, Required: true},
		"args":    {Type: nomadish.ConfigStringList},
	}}}
	for file, want := range map[string]string{
		"b029__unknown-task-config-key.hcl": `Task "g.t" driver "raw_exec": unknown option "`,
		"b213__driver-nonexistent.hcl":      ` is not known here`,
		"b215__config-missing-command.hcl":  `Task "g.t" driver "raw_exec": option "command" is required`,
		"b217__config-command-list.hcl":     `Task "g.t" driver "raw_exec": option "command": want a string`,
	} {
		text, err := os.ReadFile(filepath.Join(jobFiles, "malformed", file))
		if err != nil {
			t.Fatal(err)
		}
		job, err := jobspec.Parse(jobspec.Config{Body: text})
		if err != nil {
			t.Fatal(err)
		}
		job.Admit()
		if err := admission.Validate(job); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if got := admission.Warnings(job); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}
