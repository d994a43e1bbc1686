package endpoint_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// A registered job has all defaults and an evaluation that places it; the request is left as
// it was.
func TestRegisterJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newJob("web")
	before := job.Copy()
	resp := w.register(job)
	if diff := cmp.Diff(before, job); diff != "" {
		t.Errorf("the request was changed:\n%s", diff)
	}
	stored := w.job("web")
	if nomadish.Val(stored.Region) != "global" || nomadish.Val(stored.Namespace) != "default" || nomadish.Val(stored.Priority) != 50 ||
		nomadish.Val(stored.SubmitTime) != epoch.UnixNano() || nomadish.Val(stored.TaskGroups[0].Count) != 1 {
		t.Errorf("stored %+v", stored)
	}
	eval := w.eval(resp.EvalID)
	want := &nomadish.Evaluation{
		ID: resp.EvalID, Namespace: "default", JobID: "web", Type: "service", Priority: 50, TriggeredBy: "job-register",
		Status: "pending", CreateIndex: resp.EvalCreateIndex, ModifyIndex: resp.EvalCreateIndex, JobModifyIndex: resp.JobModifyIndex,
		CreateTime: epoch.UnixNano(), ModifyTime: epoch.UnixNano(),
	}
	if diff := cmp.Diff(want, eval); diff != "" {
		t.Errorf("evaluation (-want +got):\n%s", diff)
	}
}

// An unchanged job keeps its version and is evaluated all the same; a change, a stop and a
// return from it each make a version.
func TestJobVersions(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	first := w.register(newJob("web"))
	again := w.register(newJob("web"))
	if w.version("web") != 0 || again.JobModifyIndex != first.JobModifyIndex || again.EvalID == first.EvalID || again.EvalID == "" {
		t.Errorf("unchanged: version %d, %+v after %+v", w.version("web"), again, first)
	}
	changed := newJob("web")
	changed.Priority = nomadish.Ptr(70)
	if resp := w.register(changed); w.version("web") != 1 || w.eval(resp.EvalID).Priority != 70 {
		t.Errorf("changed: version %d", w.version("web"))
	}
	stop := &nomadish.JobDeregisterRequest{JobID: "web", WriteRequest: nomadish.WriteRequest{Namespace: "default"}}
	if _, _, err := w.DeregisterJob(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if w.version("web") != 2 || !nomadish.Val(w.job("web").Stop) {
		t.Errorf("stopped: version %d, stop %t", w.version("web"), nomadish.Val(w.job("web").Stop))
	}
	w.register(changed)
	if w.version("web") != 3 || nomadish.Val(w.job("web").Stop) {
		t.Errorf("back: version %d, stop %t", w.version("web"), nomadish.Val(w.job("web").Stop))
	}
	versions, index, err := w.JobVersions(t.Context(), nil, "default", "web")
	if err != nil || len(versions) != 4 || index != nomadish.Val(w.job("web").ModifyIndex) {
		t.Errorf("%d versions at %d, %v", len(versions), index, err)
	}
	_, _, err = w.JobVersions(t.Context(), nil, "default", "nope")
	wantKind(t, err, nomadish.KindNotFound, "job versions not found")
}

// EnforceIndex registers only what its user has seen.
func TestEnforceIndex(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	register := func(index uint64) error {
		_, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web"), EnforceIndex: true, JobModifyIndex: index})
		return err
	}
	wantKind(t, register(7), nomadish.KindConflict, "Enforcing job modify index 7: job does not exist")
	if err := register(0); err != nil {
		t.Fatal(err)
	}
	wantKind(t, register(0), nomadish.KindConflict, "Enforcing job modify index 0: job already exists")
	wantKind(t, register(99), nomadish.KindConflict, "Enforcing job modify index 99: job exists with conflicting job modify index: 3")
	if err := register(nomadish.Val(w.job("web").JobModifyIndex)); err != nil {
		t.Error(err)
	}
}

// PreserveCounts and PreserveResources keep what somebody has scaled by hand.
func TestPreserve(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newJob("web")
	job.TaskGroups[0].Count = nomadish.Ptr(5)
	job.TaskGroups[0].Tasks[0].Resources = &nomadish.Resources{MemoryMB: nomadish.Ptr(777)}
	w.register(job)
	next := newJob("web")
	next.Priority = nomadish.Ptr(60)
	next.TaskGroups = append(next.TaskGroups, &nomadish.TaskGroup{
		Name: nomadish.Ptr("new"), Count: nomadish.Ptr(2), Tasks: []*nomadish.Task{{Name: "t", Driver: "mock"}},
	})
	if _, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: next, PreserveCounts: true, PreserveResources: true}); err != nil {
		t.Fatal(err)
	}
	got := w.job("web")
	old, added := got.TaskGroups[0], got.TaskGroups[1]
	if nomadish.Val(got.Priority) != 60 || nomadish.Val(old.Count) != 5 || nomadish.Val(old.Tasks[0].Resources.MemoryMB) != 777 || nomadish.Val(added.Count) != 2 {
		t.Errorf("priority %d, count %d, memory %d, new group's count %d", nomadish.Val(got.Priority), nomadish.Val(old.Count),
			nomadish.Val(old.Tasks[0].Resources.MemoryMB), nomadish.Val(added.Count))
	}
}

// Refusals have Nomad's words, and nothing of what is refused is stored.
func TestRegisterRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*nomadish.Job)
		kind  nomadish.Kind
		want  string
	}{
		{"no groups", func(j *nomadish.Job) { j.TaskGroups = nil }, nomadish.KindInvalid, "1 error occurred:\n\t* Missing job task groups\n\n"},
		{
			"unknown namespace", func(j *nomadish.Job) { j.Namespace = nomadish.Ptr("nope") }, nomadish.KindInvalid,
			"1 error occurred:\n\t* job \"web\" is in nonexistent namespace \"nope\"\n\n",
		},
		{
			"unknown pool", func(j *nomadish.Job) { j.NodePool = nomadish.Ptr("nope") }, nomadish.KindInvalid,
			"1 error occurred:\n\t* job \"web\" is in nonexistent node pool \"nope\"\n\n",
		},
		{"other region", func(j *nomadish.Job) { j.Region = nomadish.Ptr("mars") }, nomadish.KindInternal, "No path to region"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			job := newJob("web")
			tt.spoil(job)
			_, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: job})
			wantKind(t, err, tt.kind, tt.want)
			if _, err := w.read().Job(nil, "default", "web"); err == nil {
				t.Error("it is stored")
			}
		})
	}
}

// What Nomad refused to register, of the corpus, is refused with the same text.
func TestRegisterRefusesCorpus(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	data, err := os.ReadFile("../../nomadish/testdata/registered/refused.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(data)), "\n")[1:]
	for _, line := range rows {
		id, want := strings.Split(line, "\t")[0], strings.Split(line, "\t")[2]
		base := filepath.Join("../../jobspec/testdata/jobs", id)
		text, err := os.ReadFile(base + ".nomad.hcl")
		if err != nil {
			t.Fatal(err)
		}
		vars, _ := os.ReadFile(base + ".vars.hcl") // most have none
		job, err := w.ParseJob(t.Context(), &nomadish.JobsParseRequest{JobHCL: string(text), Variables: string(vars)})
		if err != nil {
			t.Fatal(err)
		}
		want = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(want)
		if _, _, err = w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: job}); err == nil || strings.TrimRight(err.Error(), "\n") != want {
			t.Errorf("%s: got %v\nwant %s", id, err, want)
		}
	}
	t.Logf("%d jobs refused", len(rows))
}

// The job's namespace wins over the request's, and "global" is the region of the agent.
func TestWhereJobsGo(t *testing.T) {
	w := newWorld(t, endpoint.Config{Region: "eu"})
	job := newJob("web")
	job.Region = nomadish.Ptr("global")
	if _, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: job, WriteRequest: nomadish.WriteRequest{Namespace: "default"}}); err != nil {
		t.Fatal(err)
	}
	if got := nomadish.Val(w.job("web").Region); got != "eu" {
		t.Errorf("region %q, want eu", got)
	}
	_, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("api"), WriteRequest: nomadish.WriteRequest{Namespace: "nope"}})
	wantKind(t, err, nomadish.KindInvalid, "1 error occurred:\n\t* job \"api\" is in nonexistent namespace \"nope\"\n\n")
}

// A job that launches others is not evaluated itself.
func TestLaunchersAreNotEvaluated(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newBatch("nightly")
	job.Periodic = &nomadish.PeriodicConfig{Specs: []string{"0 3 * * *"}}
	resp := w.register(job)
	if resp.EvalID != "" || resp.EvalCreateIndex != 0 || len(w.newEvals(0)) != 0 {
		t.Errorf("%+v, evaluations %q", resp, w.newEvals(0))
	}
	_, _, err := w.EvaluateJob(t.Context(), &nomadish.JobEvaluateRequest{JobID: "nightly", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
	wantKind(t, err, nomadish.KindInvalid, "can't evaluate periodic job")
}

// A warning names what will not be as the user thinks: options and fields without effect.
func TestRegisterWarns(t *testing.T) {
	w := newWorld(t, endpoint.Config{Schemas: map[string]nomadish.ConfigSchema{"mock": {}}})
	job := newJob("web")
	job.TaskGroups[0].Tasks[0].Config = map[string]any{"imgae": "x"}
	job.TaskGroups[0].Tasks[0].Templates = []*nomadish.Template{{EmbeddedTmpl: nomadish.Ptr("x"), DestPath: nomadish.Ptr("local/x")}}
	got := w.register(job).Warnings
	for _, want := range []string{
		"2 warnings:\n", `* Task "g.t" driver "mock": unknown option "imgae"`,
		"* TaskGroups[0].Tasks[0].Templates: templates are not rendered yet: the task will fail",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to say %q", got, want)
		}
	}
}

// The scheduler's configuration can stop all registrations, and a leader that is gone is no
// fault of the job.
func TestRegisterIsOff(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.refuse = nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	_, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web")})
	wantKind(t, err, nomadish.KindNoLeader, "No cluster leader")
	w.refuse = nil
	if _, _, err := w.SetSchedulerConfig(t.Context(), &nomadish.SchedulerConfiguration{RejectJobRegistration: true}, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web")})
	wantKind(t, err, nomadish.KindDenied, "job registration, dispatch, and scale are disabled by the scheduler configuration")
}

// The source is kept with each version; one that is too large costs a warning, not the job.
func TestSubmission(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	submit := func(priority int, source string) *nomadish.JobRegisterResponse {
		job := newJob("web")
		job.Priority = &priority
		resp, _, err := w.RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: job, Submission: &nomadish.JobSubmission{Source: source, Format: "hcl2"}})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte('!' + rand.N(90))
	}
	submit(1, "job {}")
	large := submit(2, strings.Repeat("x", 1<<20+1)).Warnings
	dense := submit(3, string(noise)).Warnings // fits, but no log entry holds it together with the rest
	for _, got := range []string{large, dense} {
		if !strings.Contains(got, "the job's source is not kept: ") || !strings.Contains(got, "1048576") {
			t.Errorf("got %q, want a warning that names the limit", got)
		}
	}
	sub, _, err := w.JobSubmission(t.Context(), nil, "default", "web", 0)
	if err != nil || sub.Source != "job {}" || sub.JobIndex == 0 {
		t.Errorf("got %+v, %v", sub, err)
	}
	_, _, err = w.JobSubmission(t.Context(), nil, "default", "web", 1)
	wantKind(t, err, nomadish.KindNotFound, "job source not found")
}

// Validation says the same as registration would, and stores nothing. The region does not
// count, but is warned of.
func TestValidateJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newJob("web")
	job.Region = nomadish.Ptr("mars")
	index := w.read().Index()
	resp, err := w.ValidateJob(t.Context(), &nomadish.JobValidateRequest{Job: job})
	if err != nil {
		t.Fatal(err)
	}
	want := &nomadish.JobValidateResponse{DriverConfigValidated: true, Warnings: "1 warning:\n\n* Region: there is no path from here to region \"mars\""}
	if diff := cmp.Diff(want, resp); diff != "" {
		t.Errorf("a valid job (-want +got):\n%s", diff)
	}
	job.TaskGroups[0].Count, job.Namespace = nomadish.Ptr(-1), nomadish.Ptr("nope")
	if resp, err = w.ValidateJob(t.Context(), &nomadish.JobValidateRequest{Job: job}); err != nil {
		t.Fatal(err)
	}
	shown, _ := json.Marshal(resp.ValidationErrors)
	if len(resp.ValidationErrors) != 2 || !strings.HasPrefix(resp.Error, "2 errors occurred:\n\t* job \"web\" is in nonexistent namespace \"nope\"\n\t* Task group g validation failed") {
		t.Errorf("got %q, %s", resp.Error, shown)
	}
	if w.read().Index() != index {
		t.Error("validation changes the state")
	}
}

// A job file reads no files of the server.
func TestParseJobReadsNoFiles(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	job, err := w.ParseJob(t.Context(), &nomadish.JobsParseRequest{JobHCL: `job "x" { meta { a = file("` + secret + `") } }`})
	if err == nil || nomadish.KindOf(err) != nomadish.KindInvalid || !strings.HasPrefix(err.Error(), "Failed to parse job: ") {
		t.Errorf("got %+v, %v", job, err)
	}
}
