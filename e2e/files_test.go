//go:build linux

package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// Output is read whole from its start, by offset from its end, and per stream.
func TestLogs(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("writes", nomadish.JobTypeBatch, "echo one; echo two; echo wrong >&2"))
	a, err := shared.Allocation(ctx, "writes", nomadish.AllocClientComplete)
	must(t, err)
	for _, tt := range []struct {
		req  nomadish.LogRequest
		want string
	}{
		{nomadish.LogRequest{Type: "stdout"}, "one\ntwo\n"},
		{nomadish.LogRequest{Type: "stdout", Offset: 4}, "two\n"},
		{nomadish.LogRequest{Type: "stdout", Offset: 2, Origin: "end"}, "o\n"},
		{nomadish.LogRequest{Type: "stderr"}, "wrong\n"},
	} {
		tt.req.AllocID, tt.req.Task = a.ID, machine.Task
		got := ""
		for frame, err := range shared.API.Files().Logs(ctx, &tt.req) {
			must(t, err)
			got += string(frame.Data)
		}
		if got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.req, got, tt.want)
		}
	}
}

// Followed output arrives while the task writes it.
func TestLogsFollow(t *testing.T) {
	ctx := testContext(t)
	// The task writes each line only when the one before has been read: the test then makes a file.
	run(t, machine.Shell("follows", nomadish.JobTypeService,
		`i=0; while :; do echo line $i; while [ ! -e "$NOMAD_ALLOC_DIR/data/go$i" ]; do sleep 0.02; done; i=$((i+1)); done`))
	a, err := shared.Allocation(ctx, "follows", nomadish.AllocClientRunning)
	must(t, err)
	got, lines := "", 0
	for frame, err := range shared.API.Files().Logs(ctx, &nomadish.LogRequest{AllocID: a.ID, Task: machine.Task, Type: "stdout", Follow: true}) {
		must(t, err)
		got += string(frame.Data)
		if !strings.HasSuffix(got, fmt.Sprintf("line %d\n", lines)) {
			continue
		}
		if lines == 3 {
			break
		}
		must(t, writeFile(shared.AllocFile(a.ID, fmt.Sprintf("alloc/data/go%d", lines))))
		lines++
	}
	if want := "line 0\nline 1\nline 2\nline 3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Files of an allocation are listed, described and read.
func TestFiles(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("files", nomadish.JobTypeBatch, `printf 0123456789 >local/digits; mkdir local/dir`))
	a, err := shared.Allocation(ctx, "files", nomadish.AllocClientComplete)
	must(t, err)
	list, err := shared.API.Files().List(ctx, a.ID, "main/local")
	must(t, err)
	var names []string
	for _, f := range list {
		names = append(names, fmt.Sprintf("%s %t %d", f.Name, f.IsDir, f.Size*btoi(!f.IsDir)))
	}
	if want := "[digits false 10 dir true 0]"; fmt.Sprint(names) != want {
		t.Errorf("list: got %v, want %s", names, want)
	}
	info, err := shared.API.Files().Stat(ctx, a.ID, "main/local/digits")
	if err != nil || info.Size != 10 || info.IsDir {
		t.Errorf("stat: got %+v, %v", info, err)
	}
	got, err := readAt(t, &nomadish.FileRequest{AllocID: a.ID, Path: "main/local/digits", Offset: 3, Limit: 4})
	if err != nil || got != "3456" {
		t.Errorf("read at 3, 4 bytes: got %q, %v", got, err)
	}
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func readAt(t *testing.T, req *nomadish.FileRequest) (string, error) {
	t.Helper()
	r, err := shared.API.Files().Read(testContext(t), req)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// Whatever links a task makes and whatever path is asked for, no file outside of the
// allocation is shown, and none of its secrets.
func TestFilesDoNotEscape(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("escapes", nomadish.JobTypeBatch, `
		ln -s /etc/passwd local/passwd
		ln -s /etc local/etc
		ln -s ../../../../../../../../etc/passwd local/up
		ln -s /proc/self/root local/root
		echo hidden >secrets/key
		ln -s ../secrets/key local/key`))
	a, err := shared.Allocation(ctx, "escapes", nomadish.AllocClientComplete)
	must(t, err)
	for _, path := range []string{
		"main/local/passwd", "main/local/etc/passwd", "main/local/up", "main/local/root/etc/passwd",
		"../../../../../../../../etc/passwd", "/../../../../../../etc/passwd", "main/../../../../../../../../etc/passwd",
		"main/secrets/key", "main/local/key", "alloc/../main/secrets/key",
	} {
		if got, err := readAt(t, &nomadish.FileRequest{AllocID: a.ID, Path: path}); err == nil || got != "" {
			t.Errorf("read %s: got %q, %v", path, got, err)
		}
		if info, err := shared.API.Files().Stat(ctx, a.ID, path); err == nil && info.Size > 0 && !strings.Contains(path, "secrets") && !strings.Contains(path, "key") {
			t.Errorf("stat %s: got %+v", path, info)
		}
		got := ""
		for frame, err := range shared.API.Files().Stream(ctx, &nomadish.FileRequest{AllocID: a.ID, Path: path}) {
			if err == nil {
				got += string(frame.Data)
			}
		}
		if got != "" {
			t.Errorf("stream %s: got %q", path, got)
		}
	}
	for _, path := range []string{"main/local/etc", "main/local/root", "..", "../..", "main/secrets"} {
		if list, err := shared.API.Files().List(ctx, a.ID, path); err == nil && len(list) > 0 {
			t.Errorf("list %s: got %d entries", path, len(list))
		}
	}
}
