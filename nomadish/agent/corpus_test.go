package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

const (
	jobFiles = "../../jobspec/testdata"
	answers  = "../testdata" // what Nomad made of the job files
)

// corpus asks an agent's API what the corpora have Nomad's answers to.
type corpus struct {
	t     *testing.T
	agent http.Handler
	count map[string]int // of answers that were as they should be
}

// ask makes a request with a JSON body, nil for none.
func (c *corpus) ask(method, path string, body any) (status int, answer []byte) {
	c.t.Helper()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			c.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	c.agent.ServeHTTP(w, httptest.NewRequestWithContext(c.t.Context(), method, path, &sent))
	return w.Code, w.Body.Bytes()
}

// decoded is a JSON document. Whether a number is written as 443 or 443.0 does not count.
func (c *corpus) decoded(data []byte) any {
	c.t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		c.t.Fatalf("%v: %.200s", err, data)
	}
	return v
}

func (c *corpus) read(path string) []byte {
	c.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

// table reads the rows of a table by their first column, without the heading.
func (c *corpus) table(path string) map[string][]string {
	rows := map[string][]string{}
	for _, line := range strings.Split(strings.TrimRight(string(c.read(path)), "\n"), "\n")[1:] {
		row := strings.Split(line, "\t")
		rows[row[0]] = row
	}
	return rows
}

// same counts an answer that is as it should be, or shows how it is not.
func (c *corpus) same(what, id string, got, want any) {
	c.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("%s of %s (-want +got):\n%s", what, id, diff)
		return
	}
	c.count[what]++
}

// withCorpus runs a server with nothing but memory and its directory, and reports the counts.
func withCorpus(t *testing.T, f func(c *corpus)) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := agent.New(agent.Config{Name: "test", DataDir: t.TempDir(), Server: &server.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	c := &corpus{t: t, agent: a, count: map[string]int{}}
	if err := awaitLeader(ctx, a.Client()); err != nil {
		t.Fatal(err)
	}
	f(c)
	for _, what := range slices.Sorted(maps.Keys(c.count)) {
		t.Logf("%s: %d", what, c.count[what])
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// awaitLeader waits for an answer that only a leader gives.
func awaitLeader(ctx context.Context, c *api.Client) error {
	for {
		_, _, err := c.Jobs().List(ctx, nil)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Every job file of the corpus is parsed, registered and shown as by Nomad.
func TestJobsOverTheAPI(t *testing.T) {
	withCorpus(t, func(c *corpus) {
		refused := c.table(filepath.Join(answers, "registered", "refused.tsv"))
		for id, row := range c.table(filepath.Join(jobFiles, "index.tsv")) {
			request := map[string]any{"JobHCL": string(c.read(filepath.Join(jobFiles, "jobs", id+".nomad.hcl")))}
			vars, err := os.ReadFile(filepath.Join(jobFiles, "jobs", id+".vars.hcl"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			request["Variables"] = string(vars)
			parsed := c.parse(id, request, filepath.Join(jobFiles, "parsed", id+".json"))
			request["Canonicalize"] = true
			c.parse(id, request, filepath.Join(answers, "canonical", id+".json"))
			c.verdict(id, parsed, row[5])
			switch why := refused[id]; {
			case why != nil:
				c.refuse(id, parsed, why[1], strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(why[2]))
			case strings.HasPrefix(row[5], "ERR "):
				c.count["not registered: in a namespace or pool that the reference had then"]++
			default:
				c.register(id, parsed)
			}
		}
	})
}

func (c *corpus) parse(id string, request map[string]any, want string) any {
	c.t.Helper()
	status, body := c.ask(http.MethodPost, "/v1/jobs/parse", request)
	if status != http.StatusOK {
		c.t.Fatalf("parse %s: %d %s", id, status, body)
	}
	got := c.decoded(body)
	c.same("parsed as "+filepath.Base(filepath.Dir(want)), id, got, c.decoded(c.read(want)))
	return got
}

var spaces = regexp.MustCompile(`\s+`)

func oneLine(s string) string { return strings.TrimSpace(spaces.ReplaceAllString(s, " ")) }

// verdict validates a job. Warnings of ours may stand beside Nomad's.
func (c *corpus) verdict(id string, job any, want string) {
	c.t.Helper()
	status, body := c.ask(http.MethodPost, "/v1/validate/job", map[string]any{"Job": job})
	var answer nomadish.JobValidateResponse
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		c.t.Errorf("validate %s: %d %s", id, status, body)
		return
	}
	faults := []string{}
	for _, f := range answer.ValidationErrors {
		faults = append(faults, oneLine(f))
	}
	if text, bad := strings.CutPrefix(want, "ERR "); bad {
		c.same("verdict: refused", id, strings.Join(faults, " | "), text)
		return
	}
	c.same("verdict: accepted", id, faults, []string{})
	if text, warned := strings.CutPrefix(want, "WARN "); warned {
		c.warned(id, answer.Warnings, text)
	}
}

// warned looks for each of Nomad's warnings among ours.
func (c *corpus) warned(id, got, want string) {
	c.t.Helper()
	heading, list, _ := strings.Cut(oneLine(want), ": ")
	for _, w := range strings.Split(list, " * ") {
		if !strings.Contains(oneLine(got), strings.TrimPrefix(w, "* ")) {
			c.t.Errorf("%s of %s: %q is missing in\n%s", heading, id, w, got)
			return
		}
	}
	c.count["warnings"]++
}

// register registers a job, looks at it and forgets it: some job files have the same job ID.
func (c *corpus) register(id string, job any) {
	c.t.Helper()
	var want struct {
		Job      json.RawMessage
		Response struct{ Warnings string }
	}
	if err := json.Unmarshal(c.read(filepath.Join(answers, "registered", id+".json")), &want); err != nil {
		c.t.Fatal(err)
	}
	status, body := c.ask(http.MethodPost, "/v1/jobs", map[string]any{"Job": job})
	var answer nomadish.JobRegisterResponse
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		c.t.Errorf("register %s: %d %s", id, status, body)
		return
	}
	if want.Response.Warnings != "" {
		c.warned(id, answer.Warnings, want.Response.Warnings)
	}
	name, _ := job.(map[string]any)["ID"].(string)
	path := "/v1/job/" + url.PathEscape(name)
	if status, body = c.ask(http.MethodGet, path, nil); status != http.StatusOK {
		c.t.Errorf("show %s: %d %s", id, status, body)
		return
	}
	c.same("registered and shown", id, lasting(c.decoded(body)), lasting(c.decoded(want.Job)))
	if status, body = c.ask(http.MethodDelete, path+"?purge=true", nil); status != http.StatusOK {
		c.t.Errorf("purge %s: %d %s", id, status, body)
	}
}

// passing are the fields of a job that its history and the nodes decide. Most of them are left
// out of the corpus.
var passing = []string{"CreateIndex", "ModifyIndex", "JobModifyIndex", "Version", "SubmitTime", "Status"}

// lasting leaves out of a job what depends on when it was registered, and the ids of scaling
// policies, which are random with Nomad.
func lasting(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, field := range passing {
			delete(v, field)
		}
		if policy, ok := v["Scaling"].(map[string]any); ok {
			delete(policy, "ID")
		}
		for _, inner := range v {
			lasting(inner)
		}
	case []any:
		for _, inner := range v {
			lasting(inner)
		}
	}
	return v
}

func (c *corpus) refuse(id string, job any, status, message string) {
	c.t.Helper()
	got, body := c.ask(http.MethodPost, "/v1/jobs", map[string]any{"Job": job})
	c.same("registration refused", id, fmt.Sprint(got, " ", strings.TrimRight(string(body), "\n")), status+" "+message)
}

// Malformed job files are refused where Nomad refuses them: by the parser or by validation.
func TestMalformedJobsOverTheAPI(t *testing.T) {
	stricter := map[string]bool{"b143": true} // a task named "..": see nomadish.Admission.Validate
	withCorpus(t, func(c *corpus) {
		for id, row := range c.table(filepath.Join(jobFiles, "malformed", "index.tsv")) {
			text := string(c.read(filepath.Join(jobFiles, "malformed", row[2])))
			status, job := c.ask(http.MethodPost, "/v1/jobs/parse", map[string]any{"JobHCL": text})
			if row[3] != "ok" {
				c.same("refused by the parser", id, status, http.StatusBadRequest)
				continue
			}
			if status != http.StatusOK {
				t.Errorf("%s: parsed with %d %s", id, status, job)
				continue
			}
			valid := row[4] == "OK" && !stricter[id]
			body := map[string]any{"Job": json.RawMessage(job)}
			_, verdict := c.ask(http.MethodPost, "/v1/validate/job", body)
			var said nomadish.JobValidateResponse
			if err := json.Unmarshal(verdict, &said); err != nil {
				t.Errorf("%s: validated with %s", id, verdict)
			}
			status, answer := c.ask(http.MethodPost, "/v1/jobs", body)
			if valid {
				if string(answer) == "No path to region" { // validation does not ask for it
					status = http.StatusOK
				}
				c.same("accepted", id, fmt.Sprint(said.Error, status), fmt.Sprint("", http.StatusOK))
			} else {
				c.same("refused by validation", id, fmt.Sprint(said.Error != "", status), fmt.Sprint(true, http.StatusInternalServerError))
			}
		}
	})
}
