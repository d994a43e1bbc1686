package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
)

func entry(operation, endpoint string, status int) *audit.Entry {
	caller := nomadish.Caller{Kind: nomadish.CallerToken, ID: "6d6e2b2a-0000-4000-8000-000000000001", Name: "deploy"}
	r := audit.Request{ID: nomadish.NewID(), Operation: operation, Endpoint: endpoint, Meta: audit.RequestMeta{RemoteAddress: "127.0.0.1:1"}}
	var response *audit.Response
	if status != 0 {
		response = &audit.Response{StatusCode: status}
	}
	return audit.NewEntry(time.Unix(1, 0), &caller, r, response)
}

func open(t *testing.T, cfg audit.Config) *audit.Log {
	t.Helper()
	log, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func record(t *testing.T, log *audit.Log, n int) {
	t.Helper()
	for i := range n {
		if err := log.Record(entry("PUT", fmt.Sprintf("/v1/job/j%d", i), 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verify checks a log and returns its entries' endpoints.
func verify(b []byte, after audit.Head) (audit.Head, []string, error) {
	var endpoints []string
	head, err := audit.Verify(bytes.NewReader(b), after, func(e *audit.Entry) error {
		endpoints = append(endpoints, e.Payload.Request.Endpoint)
		return nil
	})
	return head, endpoints, err
}

// What was recorded is there, in order, for nobody but the agent's user to read, and the
// chain holds to the head that the log told.
func TestRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.log")
	log := open(t, audit.Config{Path: path})
	record(t, log, 3)
	head, endpoints, err := verify(read(t, path), audit.Head{})
	if err != nil || head != log.Head() {
		t.Errorf("verify: %s, %v; want %s", head, err, log.Head())
	}
	if got := strings.Join(endpoints, " "); got != "/v1/job/j0 /v1/job/j1 /v1/job/j2" {
		t.Errorf("entries: %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// No byte can be changed, and no line taken away, doubled or moved, without breaking the
// chain or missing the head.
func TestTamperingIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, audit.Config{Path: path})
	record(t, log, 4)
	good, head := read(t, path), log.Head()
	tampered := map[string][]byte{}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x01
		tampered[fmt.Sprintf("byte %d", i)] = b
	}
	lines := bytes.SplitAfter(good, []byte{'\n'})
	for i := range lines[:len(lines)-1] {
		without := append(append([][]byte{}, lines[:i]...), lines[i+1:]...)
		tampered[fmt.Sprintf("without line %d", i)] = bytes.Join(without, nil)
		tampered[fmt.Sprintf("line %d twice", i)] = bytes.Join(append(append([][]byte{}, lines[:i+1]...), lines[i:]...), nil)
	}
	tampered["two lines swapped"] = bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3], lines[4]}, nil)
	for name, b := range tampered {
		if got, _, err := verify(b, audit.Head{}); err == nil && got == head {
			t.Errorf("%s: not seen", name)
		}
	}
}

// An agent killed at any moment leaves a log that the next one goes on with: every whole
// line is kept, the rest is taken away, and the chain says so.
func TestGoesOnAfterAnyCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	log := open(t, audit.Config{Path: path})
	record(t, log, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	good := read(t, path)
	firstLine := bytes.IndexByte(good, '\n') + 1
	for n := firstLine; n <= len(good); n++ {
		if err := os.WriteFile(path, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		log := open(t, audit.Config{Path: path})
		record(t, log, 1)
		whole := bytes.Count(good[:n], []byte{'\n'}) - 1
		head, endpoints, err := verify(read(t, path), audit.Head{})
		if err != nil || head != log.Head() || len(endpoints) != whole+1 {
			t.Fatalf("cut at %d: %d entries, want %d; %v", n, len(endpoints), whole+1, err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that was tampered with is put aside, and the new one says why.
func TestDamagedLogIsPutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	log := open(t, audit.Config{Path: path})
	record(t, log, 2)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b := read(t, path)
	if err := os.WriteFile(path, bytes.Replace(b, []byte("/v1/job/j0"), []byte("/v1/job/xx"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	record(t, open(t, audit.Config{Path: path}), 1)
	if _, endpoints, err := verify(read(t, path), audit.Head{}); err != nil || len(endpoints) != 1 {
		t.Errorf("the new log: %d entries, %v", len(endpoints), err)
	}
	if !bytes.Contains(read(t, path), []byte(`"fault":"line 2: was changed`)) {
		t.Errorf("the new log does not say why: %s", read(t, path))
	}
	if files, err := filepath.Glob(filepath.Join(dir, "audit-*.log")); err != nil || len(files) != 1 {
		t.Errorf("put aside: %v, %v; want one file", files, err)
	}
}

// Files that follow each other are one chain, and as many former ones are kept as were asked for.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	now := time.Unix(1_800_000_000, 0)
	log := open(t, audit.Config{Path: path, RotateBytes: 1 << 10, Now: func() time.Time { now = now.Add(time.Second); return now }})
	record(t, log, 12)
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
	if err != nil || len(files) < 3 {
		t.Fatalf("former files: %v, %v; want some", files, err)
	}
	var head audit.Head
	total := 0
	for _, f := range append(files, path) {
		var endpoints []string
		if head, endpoints, err = verify(read(t, f), head); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		total += len(endpoints)
	}
	if head != log.Head() || total != 12 {
		t.Errorf("%d entries to %s, want 12 to %s", total, head, log.Head())
	}
	var broken *audit.Broken
	if _, _, err := verify(read(t, files[2]), audit.Head{Lines: 1}); !errors.As(err, &broken) {
		t.Errorf("a file out of its order: %v, want a broken chain", err)
	}

	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "audit-other.log")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kept := open(t, audit.Config{Path: path, RotateBytes: 1, RotateMaxFiles: 2, Now: func() time.Time { now = now.Add(time.Second); return now }})
	record(t, kept, 5)
	if files, err := filepath.Glob(filepath.Join(dir, "audit-*[0-9].log")); err != nil || len(files) != 2 {
		t.Errorf("former files: %v, %v; want 2", files, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is none of the log's: %v", err)
	}
}

// A filter leaves out what all its lists match, and never a denial.
func TestFilters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, audit.Config{Path: path, Filters: []audit.Filter{
		{Endpoints: []string{"*"}, Stages: []string{"*"}, Operations: []string{"GET"}},
		{Endpoints: []string{"/v1/job/*/plan"}, Stages: []string{audit.StageReceived}, Operations: []string{"*"}},
	}})
	for _, e := range []*audit.Entry{
		entry("GET", "/v1/jobs", 0), entry("GET", "/v1/jobs", 200), entry("GET", "/v1/secret", 403),
		entry("PUT", "/v1/job/a/plan", 0), entry("PUT", "/v1/job/a/plan", 200), entry("PUT", "/v1/job/a", 0),
	} {
		if err := log.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	_, endpoints, err := verify(read(t, path), audit.Head{})
	if got := strings.Join(endpoints, " "); err != nil || got != "/v1/secret /v1/job/a/plan /v1/job/a" {
		t.Errorf("kept: %s, %v", got, err)
	}
}

// Who can't be recorded is refused, unless the log is kept with best effort.
func TestWhatCantBeRecorded(t *testing.T) {
	for _, bestEffort := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "logs")
		log := open(t, audit.Config{Path: filepath.Join(dir, "audit.log"), RotateBytes: 1, BestEffort: bestEffort})
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		err := log.Record(entry("PUT", "/v1/jobs", 0))
		if bestEffort && err != nil || !bestEffort && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("best effort %v: %v", bestEffort, err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := log.Record(entry("PUT", "/v1/jobs", 0)); err != nil {
			t.Errorf("after the directory came back: %v", err)
		}
	}
}

// Entries of many requests at once make one chain.
func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, audit.Config{Path: path})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := log.Record(entry("PUT", "/v1/jobs", 0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, endpoints, err := verify(read(t, path), audit.Head{}); err != nil || len(endpoints) != 400 {
		t.Errorf("%d entries, %v; want 400", len(endpoints), err)
	}
}

// A configuration that can't be meant is refused.
func TestOpenRefuses(t *testing.T) {
	all := []string{"*"}
	for name, cfg := range map[string]audit.Config{
		"no path":     {},
		"bad pattern": {Path: "x", Filters: []audit.Filter{{Endpoints: []string{"["}, Stages: all, Operations: all}}},
		"bad stage":   {Path: "x", Filters: []audit.Filter{{Endpoints: all, Stages: []string{"Later"}, Operations: all}}},
		"no stage":    {Path: "x", Filters: []audit.Filter{{Endpoints: all, Operations: all}}},
	} {
		if log, err := audit.Open(cfg); err == nil {
			t.Errorf("%s: opened %v", name, log)
		}
	}
}

// Verify takes any bytes, and says of none that do not begin with a log's own first line
// that they are one.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.log")
	log, err := audit.Open(audit.Config{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(log.Record(entry("PUT", "/v1/jobs", 0)), log.Record(entry("GET", "/v1/jobs", 403)), log.Close()); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		head, _, err := verify(b, audit.Head{})
		if err != nil || head == (audit.Head{}) {
			return
		}
		if again, _, err := verify(b, audit.Head{}); err != nil || again != head {
			t.Errorf("verified to %s, then to %s, %v", head, again, err)
		}
		lines := bytes.Count(bytes.TrimSuffix(b, []byte{'\n'}), []byte{'\n'}) + 1
		if !bytes.Contains(b, []byte(`"event_type":"chain"`)) && lines > 0 {
			t.Errorf("taken for a log: %q", b)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	log, err := audit.Open(audit.Config{Path: filepath.Join(b.TempDir(), "audit.log")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.Close() })
	e := entry("PUT", "/v1/job/web", 200)
	b.ReportAllocs()
	for b.Loop() {
		if err := log.Record(e); err != nil {
			b.Fatal(err)
		}
	}
}
