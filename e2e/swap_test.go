//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// canaryOutside is what a file of the host holds that is no task's.
const canaryOutside = "canary-5e0ba91c77d4-outside-of-all-allocations"

// swapsLeast is how often the task must have swapped for the test to say something.
const swapsLeast = 200_000

// While a task exchanges its directories for links that lead out of its allocation, as fast as
// it can, the agent lists, reads and follows files there, shows logs and fetches artifacts into
// them. Nothing of what is outside is shown, and nothing there changes.
func TestSwapsWhileTheAgentReads(t *testing.T) {
	ctx, dir := testContext(t), t.TempDir()
	program, err := machine.Build(ctx, dir, "./e2e/swapper")
	must(t, err)
	outside := filepath.Join(dir, "outside")
	must(t, os.Mkdir(outside, 0o755))
	for _, name := range []string{"f", "main.stdout.0"} {
		must(t, os.WriteFile(filepath.Join(outside, name), []byte(canaryOutside), 0o644))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "artifact") }))
	defer server.Close()
	run(t, swapping(program, outside, server.URL))
	a, err := shared.Allocation(ctx, "swaps", nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	must(t, err)
	begin, reads, enough := time.Now(), 0, false
	for ; !enough; reads++ {
		must(t, ctx.Err())
		lookAround(t, a.ID)
		count, err := os.ReadFile(shared.AllocFile(a.ID, "main/local/swaps"))
		if n, _ := strconv.Atoi(string(count)); err == nil && n >= swapsLeast {
			enough = true
			t.Logf("%d swaps, %.0f in a second, while the agent did %d times everything", n, float64(n)/time.Since(begin).Seconds(), reads)
		}
	}
	must(t, machine.Until(ctx, "artifacts were fetched, or refused", func(ctx context.Context) error { return attempted(ctx, a.ID) }))
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 2 {
		t.Errorf("outside lie %v, %v", entries, err)
	}
	for _, e := range entries {
		if text, err := os.ReadFile(filepath.Join(outside, e.Name())); err != nil || string(text) != canaryOutside {
			t.Errorf("outside, %s is %q, %v", e.Name(), text, err)
		}
	}
}

// swapping is a job of a task that swaps, and one that starts beside it with artifacts for a
// directory that is swapped; each start of it that fails is one more attempt.
func swapping(program, outside, server string) *nomadish.Job {
	job := machine.Shell("swaps", nomadish.JobTypeService, fmt.Sprintf("exec %s %s \"$NOMAD_ALLOC_DIR/data/d\" \"$NOMAD_TASK_DIR/d\" \"$NOMAD_ALLOC_DIR/logs\"", program, outside))
	group := job.TaskGroups[0]
	group.RestartPolicy.Attempts, group.RestartPolicy.Delay = nomadish.Ptr(100), nomadish.Ptr(10*time.Millisecond)
	group.Tasks[0].KillTimeout = nomadish.Ptr(10 * time.Millisecond)
	fetches := machine.Shell("x", nomadish.JobTypeService, "exec sleep 1000").TaskGroups[0].Tasks[0]
	fetches.Name = "fetches"
	fetches.Lifecycle = &nomadish.TaskLifecycle{Hook: "poststart", Sidecar: true}
	for i := range 20 {
		fetches.Artifacts = append(fetches.Artifacts, &nomadish.TaskArtifact{
			GetterSource: nomadish.Ptr(fmt.Sprintf("%s/f%d", server, i%2)), RelativeDest: nomadish.Ptr(fmt.Sprintf("${NOMAD_ALLOC_DIR}/data/d/%d", i)),
		})
	}
	group.Tasks = append(group.Tasks, fetches)
	return job
}

// attempted says whether the second task has started, or tried to.
func attempted(ctx context.Context, allocID string) error {
	a, _, err := shared.API.Allocations().Allocation(ctx, allocID, nil)
	if err != nil {
		return err
	}
	state := a.TaskStates["fetches"]
	if state == nil || state.State != nomadish.TaskStateRunning && state.Restarts == 0 && state.State != nomadish.TaskStateDead {
		return fmt.Errorf("its state is %+v", state)
	}
	return nil
}

// lookAround does everything once that shows a file of an allocation. All may be refused.
func lookAround(t *testing.T, allocID string) {
	t.Helper()
	ctx, files := testContext(t), shared.API.Files()
	for _, dir := range []string{"alloc/data/d", "main/local/d", "alloc/logs"} {
		if list, err := files.List(ctx, allocID, dir); err == nil {
			for _, f := range list {
				if f.Size == int64(len(canaryOutside)) && !f.IsDir {
					t.Fatalf("list %s: it shows %+v", dir, f)
				}
			}
		}
		if info, err := files.Stat(ctx, allocID, dir+"/f"); err == nil {
			t.Fatalf("stat %s: it shows %+v", dir, info)
		}
		if got, err := readAt(t, &nomadish.FileRequest{AllocID: allocID, Path: dir + "/f"}); err == nil || got != "" {
			t.Fatalf("read %s: got %q, %v", dir, got, err)
		}
		for frame, err := range files.Stream(ctx, &nomadish.FileRequest{AllocID: allocID, Path: dir + "/f"}) {
			if err == nil && strings.Contains(string(frame.Data), canaryOutside) {
				t.Fatalf("stream %s: got %q", dir, frame.Data)
			}
		}
	}
	if got, _ := shared.Output(ctx, allocID, machine.Task); strings.Contains(got, canaryOutside) {
		t.Fatalf("logs: got %q", got)
	}
}
