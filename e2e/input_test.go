//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// maxGrowth is how much memory the agent may take for what it refuses.
const maxGrowth = 32 << 20

// unharmed runs bad input against the shared node and checks that it changed nothing, took
// little memory, and did not end the agent.
func unharmed(t *testing.T, input func()) {
	t.Helper()
	ctx := testContext(t)
	jobs, index := jobList(t)
	before, err := machine.RSS(shared.PID())
	must(t, err)
	input()
	after, err := machine.RSS(shared.PID())
	must(t, err)
	if after-before > maxGrowth {
		t.Errorf("the agent's memory grew by %d MiB, want at most %d", (after-before)>>20, maxGrowth>>20)
	}
	t.Logf("the agent's memory went from %d to %d KiB", before>>10, after>>10)
	if jobsAfter, indexAfter := jobList(t); jobsAfter != jobs || indexAfter != index {
		t.Errorf("jobs went from %s at %d to %s at %d", jobs, index, jobsAfter, indexAfter)
	}
	must(t, shared.Ready(ctx))
}

// jobList returns the jobs' IDs and the index at which the list last changed.
func jobList(t *testing.T) (string, uint64) {
	t.Helper()
	jobs, meta, err := shared.API.Jobs().List(testContext(t), nil)
	must(t, err)
	var ids []string
	for _, j := range jobs {
		ids = append(ids, fmt.Sprint(j.ID, j.Version))
	}
	return strings.Join(ids, " "), meta.Index
}

// put sends a body to the route of jobs and returns status and text of the answer.
func put(ctx context.Context, path string, body io.Reader) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+shared.Addr+path, body)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(text), err
}

// Every malformed body gets a status and a message that says what is wrong and where.
func TestMalformedBodies(t *testing.T) {
	keys := &strings.Builder{}
	for i := range 10_001 {
		fmt.Fprintf(keys, `"k%d":"",`, i)
	}
	unharmed(t, func() {
		for _, tt := range []struct {
			name, body string
			status     int
			want       string
		}{
			{"empty", "", 400, "body is empty"},
			{"null", "null", 400, "body is null"},
			{"truncated", `{"Job":{"ID":"x","TaskGroups":[{"Na`, 400, "a string has no end"},
			{"array", `[]`, 400, "body: want an object, got an array"},
			{"string", `"job"`, 400, "body: want an object, got a string"},
			{"no job", `{}`, 400, "Job must be specified"},
			{"no id", `{"Job":{}}`, 400, "Job ID hasn't been provided"},
			{"number for object", `{"Job":5}`, 400, "Job: want an object, got a number"},
			{"number for string", `{"Job":{"ID":5}}`, 400, "Job.ID: want a string, got a number"},
			{"string for number", `{"Job":{"ID":"x","Priority":"high"}}`, 400, "Job.Priority: want"},
			{"out of range", `{"Job":{"ID":"x","Priority":1e400}}`, 400, "Job.Priority: want"},
			{"out of range in config", `{"Job":{"ID":"x","TaskGroups":[{"Tasks":[{"Config":{"n":1e400}}]}]}}`, 400, "Job.TaskGroups[0].Tasks[0].Config.n: 1e400 is out of range"},
			{"fraction", `{"Job":{"ID":"x","TaskGroups":[{"Count":1.5}]}}`, 400, "Job.TaskGroups[0].Count: want"},
			{"null in a list", `{"Job":{"ID":"x","TaskGroups":[null]}}`, 400, "Job.TaskGroups[0]"},
			{"duration", `{"Job":{"ID":"x","TaskGroups":[{"Tasks":[{"KillTimeout":"30 apples"}]}]}}`, 400, "Job.TaskGroups[0].Tasks[0].KillTimeout"},
			{"deep arrays", strings.Repeat("[", 100_000), 400, "want an object, got an array"},
			{"deep inside", `{"Job":{"ID":"x","TaskGroups":[{"Tasks":[{"Config":{"a":` + strings.Repeat("[", 100_000), 400, "nested deeper than"},
			{"deep unknown", `{"Unknown":` + strings.Repeat(`{"a":`, 100_000), 400, "nested deeper than"},
			{"many keys", `{"Job":{"ID":"x","Meta":{` + strings.TrimSuffix(keys.String(), ",") + `}}}`, 400, "Job.Meta: more than 10000 keys"},
			{"NUL", "{\"Job\":{\"ID\":\"x\x00\"}}", 400, `control character '\x00'`},
			{"bad UTF-8", "{\"Job\":{\"ID\":\"\xff\xfe\"}}", 400, "not UTF-8"},
			{"half a surrogate", `{"Job":{"ID":"\ud800"}}`, 400, "is no character"},
			{"two documents", `{"Job":{"ID":"x"}} {}`, 400, "after the end"},
			{"single quotes", `{'Job':{}}`, 400, "want a key in quotes"},
			{"not JSON", "job \"x\" {}", 400, "body is not JSON: line 1, column 1"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				status, text, err := put(testContext(t), "/v1/jobs", strings.NewReader(tt.body))
				must(t, err)
				if status != tt.status || !strings.Contains(text, tt.want) {
					t.Errorf("got %d %q, want %d with %q", status, shorten(text), tt.status, tt.want)
				}
			})
		}
	})
}

func shorten(s string) string { return s[:min(len(s), 300)] }

// zeros is a body of so many bytes; it tells how many have been asked for.
type zeros struct{ left, read int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left, z.read = z.left-n, z.read+n
	return int(n), nil
}

// A body of 100 MB is refused with 413 and the limit: before it is read when it says its
// length, at the limit when it does not.
func TestHugeBodyIsRefused(t *testing.T) {
	const size = 100 << 20
	unharmed(t, func() {
		for _, tt := range []struct {
			name, path string
			length     int64
			most       int64 // bytes that the agent, and what lies between, may take
		}{
			{"with its length", "/v1/jobs", size, 16 << 20},
			{"chunked", "/v1/jobs", -1, 32 << 20},
			{"of a small route", "/v1/job/none/evaluate", -1, 16 << 20},
		} {
			t.Run(tt.name, func(t *testing.T) {
				body := &zeros{left: size}
				req, err := http.NewRequestWithContext(testContext(t), http.MethodPut, "http://"+shared.Addr+tt.path, body)
				must(t, err)
				req.ContentLength = tt.length
				resp, err := http.DefaultClient.Do(req)
				must(t, err)
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				must(t, err)
				if resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), "limit") && !strings.Contains(string(text), "bytes") {
					t.Errorf("got %d %q, want 413 and the limit", resp.StatusCode, shorten(string(text)))
				}
				if body.read > tt.most {
					t.Errorf("%d bytes were taken, want at most %d", body.read, tt.most)
				}
			})
		}
	})
}

// A job file that is not right is refused with file, line and what is wrong there.
func TestMalformedJobFiles(t *testing.T) {
	unharmed(t, func() {
		for _, tt := range []struct{ name, hcl, want string }{
			{"unclosed", `job "x" {`, ":1"},
			{"misspelt block", "job \"x\" {\n  grupo \"g\" {}\n}", ":2"},
			{"wrong type", "job \"x\" {\n  priority = \"high\"\n}", ":2"},
			{"unknown function", "job \"x\" {\n  meta { a = nothing(1) }\n}", ":2"},
			{"file over the API", "job \"x\" {\n  meta { a = file(\"/etc/passwd\") }\n}", ":2"},
			{"two jobs", "job \"x\" {}\njob \"y\" {}", "job"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				body := fmt.Sprintf(`{"JobHCL":%q}`, tt.hcl)
				status, text, err := put(testContext(t), "/v1/jobs/parse", strings.NewReader(body))
				must(t, err)
				if status != http.StatusBadRequest || !strings.Contains(text, tt.want) || strings.Contains(text, "root:x:0") {
					t.Errorf("got %d %q, want 400 with %q", status, shorten(text), tt.want)
				}
			})
		}
	})
}
