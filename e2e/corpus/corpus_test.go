//go:build linux && corpus

// Package corpus runs job files of public repositories on agents of the real program, as they
// are: only what is in their images is not theirs, but a stand-in that is run in the same
// way. docs/corpus.md has what becomes of each.
package corpus

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

const (
	patience = time.Minute // for a job to run
	files    = "../../jobspec/testdata"
	document = "../../docs/corpus.md"
)

// How many sites there are at a time, and how many jobs on each.
const (
	sitesAtOnce = 2
	jobsAtOnce  = 4
)

var (
	update = flag.Bool("update", false, "write the table")
	only   = flag.String("jobs", "", "run these jobs alone, by a pattern of their numbers, and compare no table")
)

// entry is a job of the corpus.
type entry struct {
	id, source string
	job        *nomadish.Job
	verdict    verdict
}

// Every job of the corpus does what the table says: it runs with all that it says having its
// effect, or the table has the reason. A job that stops running fails, and so does one whose
// reason has gone.
func TestCorpus(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("these jobs run in containers and need root")
	}
	ctx, dir := t.Context(), t.TempDir()
	shared := sharedDir(t, dir)
	jobs := corpus(t, shared)
	program, err := machine.Build(ctx, dir, "./e2e/corpus/standin")
	must(t, err)
	var images []string
	var plain []*nomadish.Job
	for _, e := range jobs {
		plain = append(plain, e.job)
		for _, task := range e.job.AllTasks() {
			if image, ok := task.Config["image"].(string); ok && !strings.ContainsAny(image, "$") && task.Driver != "podman" {
				images = append(images, image)
			}
		}
	}
	registries, env := mirror(ctx, t, program, images), append(origins(t, program, plain), programs(t)...)
	slots := make(chan struct{}, sitesAtOnce)
	t.Run("site", func(t *testing.T) {
		for i, s := range sites(jobs) {
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				s.run(t, filepath.Join(dir, fmt.Sprint(i)), registries, env)
			})
		}
	})
	if *only == "" {
		compare(t, table(jobs))
	}
}

// run runs the site's jobs and sees that they leave nothing on it.
func (s *site) run(t *testing.T, dir, registries string, env []string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n, err := s.start(ctx, dir, registries, env)
	if n != nil {
		defer func() {
			n.Report(t)
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	must(t, err)
	var all sync.WaitGroup
	slots := make(chan struct{}, jobsAtOnce)
	for _, list := range sameID(s.jobs) {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, e := range list {
				begun := time.Now()
				var err error
				e.verdict, err = e.run(t.Context(), n)
				t.Logf("job %s, %s: %s", e.id, time.Since(begun).Round(time.Millisecond), e.verdict)
				if err != nil {
					t.Errorf("job %s should run: %v", e.id, err)
				}
			}
		})
	}
	all.Wait()
	left, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, machine.Until(left, "nothing is left", func(context.Context) error { return n.Left() }))
}

// sameID groups jobs that can't be on one site at the same time.
func sameID(jobs []*entry) (lists [][]*entry) {
	for _, e := range jobs {
		i := slices.IndexFunc(lists, func(l []*entry) bool { return *l[0].job.ID == *e.job.ID })
		if i < 0 {
			lists = append(lists, nil)
			i = len(lists) - 1
		}
		lists[i] = append(lists[i], e)
	}
	return lists
}

// sharedDir makes what the jobs take for a directory that all nodes share, and the other
// directories of the host that jobs mount without making them.
func sharedDir(t *testing.T, dir string) string {
	t.Helper()
	shared := filepath.Join(dir, "shared")
	for _, path := range []string{shared, filepath.Join(shared, "sabnzbd"), "/tmp/s1"} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			must(t, os.Mkdir(path, 0o755))
			t.Cleanup(func() { _ = os.RemoveAll(path) }) // below dir it has gone already
		}
	}
	return shared
}

// directory is a variable whose value has to be one.
var directory = regexp.MustCompile(`(?m)^(\w+_dir) = .*$`)

// corpus reads the jobs with values for their variables: those that the corpus has, and a
// directory where one is called for.
func corpus(t *testing.T, shared string) (jobs []*entry) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(files, "index.tsv"))
	must(t, err)
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	must(t, err)
	for _, row := range rows[1:] {
		if matched, err := regexp.MatchString("^("+*only+")$", row[0]); err != nil || *only != "" && !matched {
			continue
		}
		path := filepath.Join(files, "jobs", row[0])
		body, err := os.ReadFile(path + ".nomad.hcl")
		must(t, err)
		vars, err := os.ReadFile(path + ".vars.hcl")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		job, err := jobspec.Parse(jobspec.Config{Body: body, VarContent: directory.ReplaceAllString(string(vars), fmt.Sprintf("$1 = %q", shared+"/"))})
		must(t, err)
		jobs = append(jobs, &entry{id: row[0], source: row[1] + " " + row[2], job: job})
	}
	return jobs
}

// table writes what became of the jobs.
func table(jobs []*entry) string {
	var out strings.Builder
	counts := map[string]int{}
	for _, e := range jobs {
		counts[e.verdict.result]++
	}
	fmt.Fprintf(&out, preface, len(jobs), counts[whole], counts[partial], counts[none])
	for _, e := range jobs {
		var drivers []string
		for _, task := range e.job.AllTasks() {
			drivers = append(drivers, task.Driver)
		}
		slices.Sort(drivers)
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", e.id, strings.ReplaceAll(e.source, "|", `\|`),
			strings.Join(slices.Compact(drivers), ", "), e.verdict.result, strings.ReplaceAll(e.verdict.reason, "|", `\|`))
	}
	return out.String()
}

const preface = `# The corpus of jobs

What becomes of the job files of jobspec/testdata on a node that is as they want it: region,
datacenter, pool, meta, host name, networks and volumes are those that the job asks for. The
files are taken as they are. Only what is in the images is not theirs: a registry in place of
all others serves stand-ins, which are called as the real programs are, and listen on the
ports that they are given. *Runs* means that all allocations run or have done their work,
that ports answer, and that each option of the driver, variable, argument, mount and artifact
is found in the task. ` + "`make test`" + ` compares this table; ` + "`go test ./e2e/corpus -update`" + ` writes it.

Of %d jobs %d run as they are, %d run but for something, and %d do not run.

| job | from | driver | result | reason |
| --- | --- | --- | --- | --- |
`

// compare holds the table to the one in the documents.
func compare(t *testing.T, got string) {
	t.Helper()
	if *update {
		if !t.Failed() {
			must(t, os.WriteFile(document, []byte(got), 0o644))
		}
		return
	}
	want, err := os.ReadFile(document)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is not what happens (-document +now); -update writes it:\n%s", document, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
