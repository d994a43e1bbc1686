package hooks

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

func withArtifact(s *task.Setup, source, dest string, headers map[string]string) {
	a := &nomadish.TaskArtifact{GetterSource: &source, RelativeDest: &dest, GetterHeaders: headers, GetterMode: nomadish.Ptr("any")}
	s.Task.Artifacts = append(s.Task.Artifacts, a)
}

// Where an artifact goes is judged after interpolation, and the task's directories have the
// same place whatever the task itself sees.
func TestArtifactDestinations(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	defer srv.Close()
	for dest, want := range map[string]string{
		"local/":                       "web/local/n1",
		"local/${node.datacenter}/x":   "web/local/dc1/x/n1",
		"/local":                       "web/local/n1",
		"${NOMAD_TASK_DIR}/a":          "web/local/a/n1",
		"${NOMAD_SECRETS_DIR}":         "web/secrets/n1",
		"${NOMAD_ALLOC_DIR}/data":      "alloc/data/n1",
		"../alloc/data":                "alloc/data/n1",
		"../other/local":               "",
		"../../x":                      "",
		"${env.UP}/x":                  "",
		"local/../../..":               "",
		"private":                      "",
		"private/x":                    "",
		"local/../private":             "",
		"..":                           "",
		"${meta.rack}/../../../escape": "",
	} {
		t.Run(dest, func(t *testing.T) {
			s := newSetup(t)
			s.Task.Env["UP"] = "../../.."
			withArtifact(s, srv.URL+"/${node.unique.name}", dest, nil)
			err := prepare(t, s)
			var invalid *task.InvalidError
			if want == "" {
				if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "is outside of the task's directory") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(s.Root, want)); err != nil || string(got) != "/n1" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// What was fetched for one start is not fetched again for the next.
func TestArtifactsAreFetchedOnce(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer srv.Close()
	s := newSetup(t)
	withArtifact(s, srv.URL+"/a", "local/", nil)
	withArtifact(s, srv.URL+"/b", "local/", nil)
	p := pipeline(t)
	t.Cleanup(func() { _ = p.Release(t.Context(), s) })
	defer p.Release(t.Context(), s) //nolint:errcheck // the test is about the start
	for i, want := range []int32{2, 3, 3} {
		err := p.Prepare(t.Context(), s)
		if (err != nil) != (i == 0) || calls.Load() != want {
			t.Errorf("start %d: %v, %d downloads; want %d", i, err, calls.Load(), want)
		}
	}
}

// Failures are events of their own, which may go away, and show nothing that is secret.
func TestArtifactFailure(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	s := newSetup(t)
	var events []*nomadish.TaskEvent
	s.Emit = func(e *nomadish.TaskEvent) { events = append(events, e) }
	s.Task.Env["KEY"] = "canary1"
	source := strings.Replace(srv.URL, "//", "//u:canary2@", 1) + "/x.zip?sig=canary3&k=${KEY}"
	withArtifact(s, source, "local/", map[string]string{"X-Key": "${KEY}"})
	err := prepare(t, s)
	var download *task.DownloadError
	if !errors.As(err, &download) || !drivers.IsRecoverable(err) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	if len(events) != 1 || events[0].Type != nomadish.TaskEventDownloading || strings.Contains(events[0].DisplayMessage, "canary") {
		t.Errorf("events: %+v", events)
	}
}
