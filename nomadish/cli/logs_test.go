package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
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
	if got := c.run(t, "logs", "upp"); got.code != ExitFailed || !strings.Contains(got.stderr, `did you mean "up"?`) {
		t.Errorf("got %+v", got)
	}
}
