package cli

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// TestObserve runs the commands that let people see a cluster against a real agent.
func TestObserve(t *testing.T) {
	c := newCluster(t)
	c.ok(t, "job", "run", c.file(t, "seen", "service", "", `run_for = "-1s"`))
	t.Run("events", func(t *testing.T) { testEvents(t, c) })
	t.Run("top", func(t *testing.T) { testTop(t, c) })
	t.Run("monitor", func(t *testing.T) { testMonitor(t, c) })
	t.Run("operator api", func(t *testing.T) { testOperatorAPI(t, c) })
	t.Run("operator debug", func(t *testing.T) { testOperatorDebug(t, c) })
	t.Run("small ones", func(t *testing.T) { testSmall(t, c) })
}

// Events are told by names: what was placed where, and what its tasks did.
func testEvents(t *testing.T, c *cluster) {
	got := c.ok(t, "events")
	for _, want := range []string{
		"job seen: version 0 registered", "seen.g[0] (", ") on n1: placed", "on n1: task t: Started:", "on n1: running", "node n1: ready, eligible",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := c.ok(t, "events", "-t", "{{range .Events}}{{.Type}}{{end}}", "-topic", "Job:seen"); !strings.HasPrefix(got, "JobRegistered\n") {
		t.Errorf("by a template: %q", got)
	}
	if got := c.ok(t, "events", "-job", "other"); got != "" {
		t.Errorf("another job's events: %q", got)
	}
	for line := range strings.Lines(c.ok(t, "events", "-json", "-topic", "Allocation:seen")) {
		events := &nomadish.Events{}
		if err := json.Unmarshal([]byte(line), events); err != nil || len(events.Events) != 1 || events.Events[0].Topic != "Allocation" {
			t.Errorf("line %q, %v", line, err)
		}
	}
	if got := c.run(t, "events", "-job", "a", "-topic", "Job:b"); got.code != ExitUsage {
		t.Errorf("code %d, want %d: %s", got.code, ExitUsage, got.stderr)
	}
}

// Followed events come as they happen, until an interrupt.
func TestEventsFollow(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Program{Stdout: w, Stderr: io.Discard, Env: lookup(c.env)}, []string{"events", "-f", "-job", "later"})
		_ = w.Close() // a pipe's never fails
	}()
	c.ok(t, "job", "run", "-detach", c.file(t, "later", "batch", "", `run_for = "1ms"`))
	var got strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), "on n1: complete") {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v after\n%s", err, got.String())
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, r) // it is to end, whatever it still says
	if code := <-ended; code != ExitDetached && code != ExitOK {
		t.Errorf("code %d", code)
	}
}

func testTop(t *testing.T, c *cluster) {
	got := c.ok(t, "top", "-interval", "100ms")
	if !strings.Contains(got, "n1") || !strings.Contains(got, "seen.g[0]") {
		t.Errorf("top: %s", got)
	}
	var v topView
	if err := json.Unmarshal([]byte(c.ok(t, "top", "-json", "-interval", "100ms")), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Nodes) != 1 || !v.Nodes[0].Answers || v.Nodes[0].MemoryTotal == 0 || len(v.Allocations) != 1 {
		t.Errorf("top: %+v", v)
	}
}

// The busiest come first, and what does not fit is counted.
func TestTopView(t *testing.T) {
	v := &topView{Nodes: []*topNode{{Name: "n", Status: "ready"}}, Left: 7}
	for _, a := range []topAlloc{{Name: "a", CPUPercent: 1, Memory: 3 << 20}, {Name: "b", CPUPercent: 2, Memory: 1 << 20}, {Name: "c", Memory: 2 << 20}} {
		a.Answers = true
		v.Allocations = append(v.Allocations, &a)
	}
	for order, want := range map[string]string{"cpu": "bac", "memory": "acb", "name": "abc"} {
		v.sort(order)
		got := ""
		for _, a := range v.Allocations {
			got += a.Name
		}
		if got != want {
			t.Errorf("by %s: %s, want %s", order, got, want)
		}
	}
	lines := v.lines(2)
	if last := lines[len(lines)-1]; last != "… and 8 more" {
		t.Errorf("the last line is %q", last)
	}
	small := &screen{w: io.Discard, size: func() (int, int) { return 20, 9 }}
	for _, line := range v.screenful(small, 0) {
		if columns(line) > 20 {
			t.Errorf("line %q is wider than the screen", line)
		}
	}
	if n := len(v.screenful(small, 0)); n > 8 {
		t.Errorf("%d lines on a screen of 9", n)
	}
}

// The log comes at the level that is asked for, though the agent's own has none.
func testMonitor(t *testing.T, c *cluster) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Program{Stdout: w, Stderr: io.Discard, Env: lookup(c.env)}, []string{"monitor", "-log-level", "DEBUG", "-node-id", "n1"})
		_ = w.Close() // a pipe's never fails
	}()
	go func() { // something to log
		for ctx.Err() == nil {
			c.run(t, "status")
		}
	}()
	buf := make([]byte, 64<<10)
	n, err := r.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "[DEBUG]") {
		t.Errorf("the log says %q, %v", buf[:n], err)
	}
	cancel()
	_, _ = io.Copy(io.Discard, r)
	<-ended
	if got := c.run(t, "monitor", "-log-level", "loud"); got.code != ExitFailed || !strings.Contains(got.stderr, "loud") {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
}

func testOperatorAPI(t *testing.T, c *cluster) {
	if got := c.ok(t, "operator", "api", "/v1/regions"); got != `["global"]` {
		t.Errorf("regions: %q", got)
	}
	body := `{"Prefix":"se","Context":"jobs"}`
	for _, args := range [][]string{{"-d", body}, {"-X", "POST", "-d", "-"}, {"-d", "@" + filepath.Join(c.dir, "body")}} {
		if err := os.WriteFile(filepath.Join(c.dir, "body"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		got := runs(t, body, c.env, append(append([]string{"operator", "api"}, args...), "v1/search")...)
		if got.code != ExitOK || !strings.Contains(got.stdout, `"jobs":["seen"]`) {
			t.Errorf("%v: code %d %s%s", args, got.code, got.stdout, got.stderr)
		}
	}
	if got := c.run(t, "operator", "api", "/v1/job/none"); got.code != ExitFailed || got.stdout != "job not found" || !strings.Contains(got.stderr, "404") {
		t.Errorf("code %d, %q, %q", got.code, got.stdout, got.stderr)
	}
}

// No file of an archive holds what a job keeps to itself.
func testOperatorDebug(t *testing.T, c *cluster) {
	path := c.file(t, "secretive", "service", "meta {\n      canary = \"CANARY-1\"\n    }", `
		run_for       = "-1s"
		stdout_string = "CANARY-2"`)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), "driver = \"mock_driver\"", "driver = \"mock_driver\"\n      env {\n        PASSWORD = \"CANARY-3\"\n        OTHER    = \"CANARY-4\"\n      }", 1)
	if err := os.WriteFile(path, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok(t, "job", "run", path)
	dir := t.TempDir()
	got := c.run(t, "operator", "debug", "-duration", "1s", "-interval", "1s", "-output", dir)
	if got.code != ExitPartial || !strings.Contains(got.stderr, "errors.txt") { // profiles are not allowed
		t.Fatalf("code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	files := archive(t, dir)
	for name, content := range files {
		if strings.Contains(content, "CANARY") {
			at := strings.Index(content, "CANARY")
			t.Errorf("%s holds a secret: …%s…", name, content[max(0, at-100):at+10])
		}
	}
	for name, want := range map[string]string{
		"README.md": "events.ndjson", "version.json": `"duration": "1s"`, "cluster/members.json": "n1.global", "state/000/nodes.json": `"n1"`,
		"state/000/metrics.json": "nomad.runtime", "jobs/0000.json": `"secretive"`, "events.ndjson": `"JobRegistered"`, "monitor.log": "[DEBUG]",
		"errors.txt": "pprof/heap.prof: Permission denied",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s does not hold %q:\n%.500s", name, want, files[name])
		}
	}
}

// archive returns the files of the archive in a directory.
func archive(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v; want one archive", entries, err)
	}
	file, err := os.Open(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		out[name] = string(data)
	}
}

// What may be a secret goes; what says what runs stays, and so do numbers and shapes.
func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		`{"Env":{"A":"x","B":""}}`:                                                                `{"Env":{"A":"<redacted>","B":""}}`,
		`{"Config":{"image":"redis:7","args":["-p","x"],"n":1}}`:                                  `{"Config":{"args":["<redacted>","<redacted>"],"image":"redis:7","n":1}}`,
		`{"Config":{"auth":{"username":"u","password":"p"}}}`:                                     `{"Config":{"auth":{"password":"<redacted>","username":"<redacted>"}}}`,
		`{"Job":{"VaultToken":"x","ID":"web","Templates":[{"EmbeddedTmpl":"x","DestPath":"d"}]}}`: `{"Job":{"ID":"web","Templates":[{"DestPath":"d","EmbeddedTmpl":"<redacted>"}],"VaultToken":"<redacted>"}}`,
		`[{"index":18446744073709551615}]`:                                                        `[{"index":18446744073709551615}]`,
		`{"config":{"DataDir":"/d","Server":{"EncryptKey":"k","Enabled":true}}}`:                  `{"config":{"DataDir":"/d","Server":{"Enabled":true,"EncryptKey":"<redacted>"}}}`,
	} {
		got, err := redact([]byte(in))
		if err != nil || string(got) != want {
			// Encoding escapes the brackets.
			if unescaped := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(got)); err != nil || unescaped != want {
				t.Errorf("redact(%s) = %s, %v; want %s", in, unescaped, err, want)
			}
		}
	}
}

func testSmall(t *testing.T, c *cluster) {
	for _, tt := range []struct{ args, want string }{
		{"operator metrics nomad.client.allocations", "nomad.client.allocations.running"},
		{"server members", "n1.global"},
		{"agent-info", "applied_index"},
		{"system gc", "removed"},
		{"node eligibility -disable n1", "is ineligible"},
		{"node eligibility -enable -self", "is eligible"},
	} {
		if got := c.ok(t, strings.Fields(tt.args)...); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q in it", tt.args, got, tt.want)
		}
	}
	if got := c.run(t, "operator", "metrics", "-format", "prometheus"); got.code != ExitFailed || !strings.Contains(got.stderr, "415") {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
	if lines := slices.Collect(strings.Lines(c.ok(t, "server", "members"))); len(lines) != 2 || !strings.Contains(lines[1], "yes") {
		t.Errorf("members: %q, want one that leads", lines)
	}
}
