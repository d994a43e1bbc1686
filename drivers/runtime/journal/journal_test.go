package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// The first exit is the task's end; an OOM at any place marks it; what a crash cut off
// counts as not written.
func TestReadGivesTheFirstExit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []Entry
		tail    string
		want    Ending
		ended   bool
	}{
		{name: "nothing"},
		{name: "memory ran out, still running", entries: []Entry{{OOM: true, Time: at}}, want: Ending{OOM: true}},
		{name: "exit", entries: []Entry{{Exit: true, Code: 7, Time: at}}, want: Ending{Code: 7, Time: at}, ended: true},
		{
			name:    "killed for memory",
			entries: []Entry{{OOM: true, Time: at}, {Exit: true, Code: 137, Time: at}},
			want:    Ending{Code: 137, OOM: true, Time: at}, ended: true,
		},
		{
			name:    "second exit is ignored",
			entries: []Entry{{Exit: true, Code: 1, Time: at}, {Exit: true, Code: 2, Time: at.Add(time.Hour)}},
			want:    Ending{Code: 1, Time: at}, ended: true,
		},
		{name: "cut off", tail: `{"exit":true,"code":`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, e := range tt.entries {
				if err := Append(dir, "c1", e); err != nil {
					t.Fatal(err)
				}
			}
			if tt.tail != "" {
				if err := os.WriteFile(filepath.Join(dir, "c1"), []byte(tt.tail), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, ended, err := Read(dir, "c1")
			if err != nil || ended != tt.ended || got != tt.want {
				t.Errorf("got %+v %v %v, want %+v %v", got, ended, err, tt.want, tt.ended)
			}
			if err := Remove(dir, "c1"); err != nil {
				t.Error(err)
			}
			if err := Remove(dir, "c1"); err != nil {
				t.Errorf("removing twice: %v", err)
			}
		})
	}
}

// No container id leads out of the journal's directory.
func TestIDsStayInside(t *testing.T) {
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/passwd"} {
		if err := Append(t.TempDir(), id, Entry{Exit: true}); err == nil {
			t.Errorf("Append accepted id %q", id)
		}
	}
}

// Whatever a file holds, reading it ends without a panic, and cutting bytes off its end
// never makes up an exit.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"exit":true,"code":137,"time":"2026-11-20T10:00:00Z"}` + "\n"))
	f.Add([]byte(`{"oom":true}` + "\n" + `{"exit":true}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, ended := parse(data)
		cut := data[:bytes.LastIndexByte(data, '\n')+1]
		if _, before := parse(cut); before && !ended {
			t.Errorf("%q has an end, %q has none", cut, data)
		}
	})
}
