package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzLineWriter: however text comes in pieces, its lines come out whole, and long ones in
// pieces that make the whole.
func FuzzLineWriter(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint8(1))
	f.Add(bytes.Repeat([]byte("x"), maxLogLine+5), uint8(200))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		var lines [][]byte
		w := &lineWriter{emit: func(line []byte) error {
			lines = append(lines, bytes.Clone(line))
			return nil
		}}
		for piece := range slices.Chunk(text, int(n)+1) {
			if got, err := w.Write(piece); err != nil || got != len(piece) {
				t.Fatalf("got %d, %v", got, err)
			}
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		got := bytes.Join(lines, []byte("\n"))
		want := bytes.TrimSuffix(text, []byte("\n"))
		if len(text) < maxLogLine && !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if a, b := bytes.ReplaceAll(got, []byte("\n"), nil), bytes.ReplaceAll(text, []byte("\n"), nil); !bytes.Equal(a, b) {
			t.Errorf("%d bytes became %d", len(b), len(a))
		}
		for _, line := range lines {
			if len(line) > maxLogLine+int(n)+1 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	})
}

// testJobLogs: logs merges all tasks of a job, behind prefixes or as JSON.
func testJobLogs(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"logs", "up"}, "g[0] t | hello\n"},
		{[]string{"logs", "-stdout", "up/0"}, "g[0] t | hello\n"},
		{[]string{"logs", "-stderr", "up"}, ""},
		{[]string{"logs", "-no-prefix", "-n", "1", "up"}, "hello\n"},
		{[]string{"logs", "-task", "other", "up"}, ""},
		{[]string{"logs", "-no-prefix", "-tail", "1", "up"}, "hello\n"},
		{[]string{"logs", "-no-prefix", "up", "-tail=1"}, "hello\n"},
		{[]string{"logs", "-no-prefix", "-tail", "up"}, "hello\n"},
		{[]string{"logs", "-since", "1h", "up"}, "g[0] t | hello\n"},
		{[]string{"logs", "-since", "1h", "-f", "crash"}, "g[0] t | out of cheese\n"},
		{[]string{"logs", "-since", "1ns", "up"}, ""},
		{[]string{"logs", "-force-color", "up"}, "\x1b[36mg[0] t |\x1b[0m hello\n"},
		{[]string{"logs", "-f", "crash"}, "g[0] t | out of cheese\n"}, // ends: the job is dead
	} {
		if got := c.ok(t, tt.args...); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := c.ok(t, "logs", "-json", "up"); !strings.Contains(got, `"Name":"up.g[0]","Task":"t","Stream":"stdout","Line":"hello"}`+"\n") {
		t.Errorf("got %q", got)
	}
	if got := c.run(t, "logs", "-since", "1h", "up"); strings.Count(got.stderr, "older lines may be among it") != 1 {
		t.Errorf("without times -since says nothing: %+v", got)
	}
	if got := c.run(t, "logs", "-since", "1h", "-n", "3", "up"); got.code != ExitUsage || !strings.Contains(got.stderr, "excludes -n") {
		t.Errorf("got %+v", got)
	}
	if got := c.run(t, "logs", "upp"); got.code != ExitFailed || !strings.Contains(got.stderr, `did you mean "up"?`) {
		t.Errorf("got %+v", got)
	}
}

// TestSince: lines that begin with a time are left out where it is older; others go with the
// line before them, and are told of where there is none.
func TestSince(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for line, want := range map[string]time.Duration{
		"2026-01-02T03:04:06Z x":                                 time.Second,
		"[2026-01-02 03:04:05,5+00:00] x":                        500 * time.Millisecond,
		"time=2026-01-02T04:04:05.000+01:00 level=INFO":          0,
		`{"level":"info","ts":"2026-01-02T03:04:04Z","m":"x"}`:   -time.Second,
		`{"@timestamp":"2026-01-02T03:04:05+0000","message":""}`: 0,
	} {
		if got, ok := lineTime([]byte(line)); !ok || got.Sub(at) != want {
			t.Errorf("%s: got %v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "x", "2026-01-02 03:04:05 no zone", "2026/01/02 03:04:05", `{"ts":1.5}`, "{", "at 2026-01-02T03:04:06Z"} {
		if got, ok := lineTime([]byte(line)); ok {
			t.Errorf("%s: got %v, want no time", line, got)
		}
	}
	untimed := 0
	f := &sinceFilter{at: at, untimed: func() { untimed++ }}
	var got []string
	for _, line := range []string{"banner", "2026-01-02T03:04:04Z old", "  its trace", "2026-01-02T03:04:05Z new", "  its trace"} {
		if f.wants([]byte(line)) {
			got = append(got, line)
		}
	}
	if want := []string{"banner", "2026-01-02T03:04:05Z new", "  its trace"}; !slices.Equal(got, want) || untimed != 1 {
		t.Errorf("got %q, told of %d; want %q", got, untimed, want)
	}
}

// TestTailCount: a number behind -tail is its number of lines only where a job is named besides.
func TestTailCount(t *testing.T) {
	for args, want := range map[string]string{
		"-tail 20 web": "-tail=20 web", "web --tail 5 -f": "web --tail=5 -f", "-tail 20": "-tail 20", "-tail -f 20": "-tail -f 20", "20 -tail": "20 -tail",
	} {
		if got := strings.Join(tailCount(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: got %s, want %s", args, got, want)
		}
	}
}
