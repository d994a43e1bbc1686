//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// canaries are secrets of one task that are to be found nowhere but where they are meant to be.
const (
	canaryEnv      = "canary-6f1d0c5b2a9e-environment"
	canaryRegistry = "canary-83b7e1f04d26-registry"
	canaryHeader   = "canary-d94a70c8e35b-header"
)

// secretsIn names the canaries that a text holds.
func secretsIn(text string, canaries ...string) error {
	var errs []error
	for _, c := range canaries {
		if strings.Contains(text, c) {
			errs = append(errs, errors.New("it holds "+c))
		}
	}
	return errors.Join(errs...)
}

// secretJob is a container with secrets in its environment, for its registry and for the
// server of its artifact.
func secretJob(archive, artifact string) *nomadish.Job {
	job := machine.Job("secretive", nomadish.JobTypeService, "docker", map[string]any{
		"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":8080", "front"},
		"auth": map[string]any{"username": "somebody", "password": canaryRegistry},
	})
	task := job.TaskGroups[0].Tasks[0]
	task.Env = map[string]string{"PASSWORD": canaryEnv}
	task.Artifacts = []*nomadish.TaskArtifact{{
		GetterSource: nomadish.Ptr(artifact), GetterHeaders: map[string]string{"X-Token": canaryHeader},
	}}
	return job
}

// Secrets of a task reach the task and whoever may read its job, and nobody else: no command
// line or other process's environment, no log, event, metric or debug archive holds them, and
// of the files that do none can be read by other users.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	n, archive := peers(t)
	ctx := testContext(t)
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("X-Token")
		_, _ = io.WriteString(w, "content")
	}))
	defer server.Close()
	_, err := n.Register(ctx, secretJob(archive, server.URL+"/artifact"))
	must(t, err)
	_, err = n.Register(ctx, machine.Shell("neighbour", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, err)
	a, err := n.Allocation(ctx, "secretive", nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	must(t, err)
	if a.ClientStatus != nomadish.AllocClientRunning {
		t.Fatalf("it is %s, events %v", a.ClientStatus, machine.Events(a))
	}
	_, err = n.Allocation(ctx, "neighbour", nomadish.AllocClientRunning)
	must(t, err)
	if got := <-asked; got != canaryHeader {
		t.Errorf("the artifact's server got the header %q", got)
	}
	checkProcesses(t, n, a.ID)
	checkAnswers(t, n)
	checkFiles(t, n)
	checkArchive(t, n)
	must(t, n.Stopped(ctx, "secretive", true))
	must(t, n.Stopped(ctx, "neighbour", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// checkProcesses looks at the command lines of all, and at the environment of all but the task.
func checkProcesses(t *testing.T, n *machine.Node, allocID string) {
	t.Helper()
	all, err := n.Processes()
	must(t, err)
	own := false
	for _, p := range all {
		if err := secretsIn(strings.Join(p.Args, " "), canaryEnv, canaryRegistry, canaryHeader); err != nil {
			t.Errorf("the command line of process %d: %v", p.PID, err)
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		must(t, err)
		if strings.Contains(p.Group, allocID) {
			own = own || strings.Contains(string(env), canaryEnv)
			env = []byte(strings.ReplaceAll(string(env), canaryEnv, ""))
		}
		if err := secretsIn(string(env), canaryEnv, canaryRegistry, canaryHeader); err != nil {
			t.Errorf("the environment of %s: %v", p, err)
		}
	}
	if !own {
		t.Error("the task itself does not have the secret of its environment")
	}
}

// checkAnswers looks at what the API says to those who may not read the job.
func checkAnswers(t *testing.T, n *machine.Node) {
	t.Helper()
	for _, path := range []string{
		"/v1/agent/self", "/v1/metrics", "/v1/metrics?format=prometheus", "/v1/jobs", "/v1/allocations?resources=true", "/v1/nodes",
		"/v1/evaluations", "/v1/deployments", "/v1/job/secretive/allocations", "/v1/job/secretive/summary", "/v1/status/peers",
	} {
		text, err := fetch(testContext(t), "http://"+n.Addr+path)
		must(t, err)
		if err := secretsIn(text, canaryEnv, canaryRegistry, canaryHeader); err != nil {
			t.Errorf("the answer to %s: %v", path, err)
		}
	}
}

// checkFiles looks at all that the node has written.
func checkFiles(t *testing.T, n *machine.Node) {
	t.Helper()
	jobs := []string{filepath.Join(n.DataDir(), "server"), filepath.Join(n.DataDir(), "client", "state")}
	runtime := filepath.Join(n.DataDir(), "runtime", "root") // what containers are made of
	found := 0
	err := filepath.WalkDir(filepath.Dir(n.Log()), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // it has just been removed
		}
		in := secretsIn(string(text), canaryEnv, canaryRegistry, canaryHeader)
		if in == nil {
			return nil
		}
		found++
		switch {
		case below(path, jobs...): // the job as it was registered
		case below(path, runtime) && secretsIn(string(text), canaryRegistry, canaryHeader) == nil:
		default:
			t.Errorf("file %s: %v", path, in)
		}
		if !private(path, filepath.Dir(n.DataDir())) {
			t.Errorf("others can read %s", path)
		}
		return nil
	})
	must(t, err)
	if found == 0 {
		t.Error("no file holds the secrets: this test looks in the wrong place")
	}
}

func below(path string, dirs ...string) bool {
	for _, dir := range dirs {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

// private says that neither a file nor one of the directories that it lies in, below top, lets
// other users in.
func private(path, top string) bool {
	for ; path != top && path != "/"; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 == 0 || info.IsDir() && info.Mode().Perm()&0o011 == 0 {
			return true
		}
	}
	return false
}

// checkArchive looks at what operator debug collects.
func checkArchive(t *testing.T, n *machine.Node) {
	t.Helper()
	debugFiles(t, func(name, text string) {
		if err := secretsIn(text, canaryEnv, canaryRegistry, canaryHeader); err != nil {
			t.Errorf("operator debug, %s: %v", name, err)
		}
	}, "NOMAD_ADDR=http://"+n.Addr)
}

// debugFiles shows each file that operator debug collects, run with more of an environment.
func debugFiles(t *testing.T, show func(name, text string), env ...string) {
	t.Helper()
	binary, err := machine.Binary()
	must(t, err)
	dir := t.TempDir()
	cmd := exec.CommandContext(testContext(t), binary, "operator", "debug", "-duration", "1s", "-interval", "1s", "-pprof-duration", "0", "-output", dir)
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 2 { // 2: without profiles
		t.Fatalf("operator debug: %v\n%s", err, text)
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	data, err := os.ReadFile(archives[0])
	must(t, err)
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	must(t, err)
	for files, r := 0, tar.NewReader(unpacked); ; files++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if files < 5 {
				t.Errorf("the archive has %d files", files)
			}
			return
		}
		must(t, err)
		text, err := io.ReadAll(r)
		must(t, err)
		show(h.Name, string(text))
	}
}
