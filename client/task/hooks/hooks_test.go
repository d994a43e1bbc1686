package hooks

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client/artifact"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/mock"
	"github.com/nomadish/nomadish/nomadish"
)

// newSetup returns the setup of a task "web" with two ports.
func newSetup(t testing.TB) *task.Setup {
	job := &nomadish.Job{
		ID: nomadish.Ptr("shop"), Name: nomadish.Ptr("Shop"), ParentID: nomadish.Ptr("parent"),
		Meta: map[string]string{"owner": "job", "a-b": "${node.class}"}, Payload: []byte("payload"),
	}
	group := &nomadish.TaskGroup{Name: nomadish.Ptr("g"), Meta: map[string]string{"owner": "group"}}
	webTask := &nomadish.Task{Name: "web", Driver: "mock_driver", Env: map[string]string{}, Config: map[string]any{}}
	job.TaskGroups = []*nomadish.TaskGroup{group}
	group.Tasks = []*nomadish.Task{webTask}
	return &task.Setup{
		Node: &nomadish.Node{
			ID: "node-id", Name: "n1", Datacenter: "dc1", NodeClass: "big", NodePool: "default",
			Attributes: map[string]string{"kernel.name": "linux"}, Meta: map[string]string{"rack": "r1"},
			NodeResources: &nomadish.NodeResources{Cpu: nomadish.NodeCpuResources{CpuShares: 4000}},
		},
		Alloc: &nomadish.Allocation{
			ID: "11111111-2222-4333-8444-555555555555", Name: "shop.g[3]", Namespace: "prod", JobID: "shop", TaskGroup: "g", Job: job,
			AllocatedResources: &nomadish.AllocatedResources{
				Tasks: map[string]*nomadish.AllocatedTaskResources{"web": {
					Cpu:    nomadish.AllocatedCpuResources{CpuShares: 500, ReservedCores: []uint16{3, 0, 1, 5}},
					Memory: nomadish.AllocatedMemoryResources{MemoryMB: 256, MemoryMaxMB: 512},
				}},
				Shared: nomadish.AllocatedSharedResources{Ports: []nomadish.PortMapping{
					{Label: "http", Value: 20001, To: 80, HostIP: "10.0.0.1"}, {Label: "ad-min", Value: 20002, HostIP: "10.0.0.1"},
				}},
			},
		},
		Group: group, Task: webTask, Driver: mock.New(nil), Root: filepath.Join(t.TempDir(), "alloc"), Attempt: 1,
		Capabilities: drivers.Capabilities{Isolation: drivers.IsolationNone},
		Spec:         &drivers.TaskSpec{}, Emit: func(*nomadish.TaskEvent) {}, Notify: func(drivers.Notice) {},
	}
}

func newTestFetcher() (*artifact.Fetcher, error) {
	return artifact.New(artifact.Config{RetryWait: time.Millisecond})
}

func pipeline(t testing.TB) task.Pipeline {
	t.Helper()
	f, err := newTestFetcher()
	if err != nil {
		t.Fatal(err)
	}
	return All(Config{Artifacts: f, Region: "global", CgroupParent: "nomadish-test"})
}

// prepare runs all hooks and frees what they made when the test ends.
func prepare(t testing.TB, s *task.Setup) error {
	t.Helper()
	p := pipeline(t)
	t.Cleanup(func() {
		for range 2 { // releasing twice is no error
			if err := p.Release(context.Background(), s); err != nil {
				t.Error(err)
			}
		}
	})
	return p.Prepare(t.Context(), s)
}

func TestEnvironment(t *testing.T) {
	s := newSetup(t)
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"NOMAD_ALLOC_DIR": s.Root + "/alloc", "NOMAD_TASK_DIR": s.Root + "/web/local", "NOMAD_SECRETS_DIR": s.Root + "/web/secrets",
		"NOMAD_ALLOC_ID": s.Alloc.ID, "NOMAD_SHORT_ALLOC_ID": "11111111", "NOMAD_ALLOC_NAME": "shop.g[3]", "NOMAD_ALLOC_INDEX": "3",
		"NOMAD_TASK_NAME": "web", "NOMAD_GROUP_NAME": "g", "NOMAD_JOB_ID": "shop", "NOMAD_JOB_NAME": "Shop", "NOMAD_JOB_PARENT_ID": "parent",
		"NOMAD_NAMESPACE": "prod", "NOMAD_REGION": "global", "NOMAD_DC": "dc1", "NOMAD_PARENT_CGROUP": "nomadish-test",
		"NOMAD_CPU_LIMIT": "500", "NOMAD_MEMORY_LIMIT": "256", "NOMAD_MEMORY_MAX_LIMIT": "512", "NOMAD_CPU_CORES": "0-1,3,5",
		"NOMAD_META_owner": "group", "NOMAD_META_OWNER": "group", "NOMAD_META_a_b": "big", "NOMAD_META_A_B": "big",
		"NOMAD_IP_http": "10.0.0.1", "NOMAD_PORT_http": "20001", "NOMAD_ADDR_http": "10.0.0.1:20001",
		"NOMAD_HOST_IP_http": "10.0.0.1", "NOMAD_HOST_PORT_http": "20001", "NOMAD_HOST_ADDR_http": "10.0.0.1:20001",
		"NOMAD_ALLOC_IP_http": "10.0.0.1", "NOMAD_ALLOC_PORT_http": "20001", "NOMAD_ALLOC_ADDR_http": "10.0.0.1:20001",
		"NOMAD_PORT_ad_min": "20002",
	}
	for name, value := range want {
		if got := s.Spec.Env[name]; got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	t.Setenv("NOMADISH_SECRET", "canary")
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(slices.Collect(maps.Values(s.Spec.Env)), "canary") {
		t.Error("the agent's environment leaks into the task's")
	}
}

func TestEnvironmentInAnImage(t *testing.T) {
	s := newSetup(t)
	s.Capabilities.Isolation = drivers.IsolationImage
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"NOMAD_ALLOC_DIR": "/alloc", "NOMAD_TASK_DIR": "/local", "NOMAD_SECRETS_DIR": "/secrets", "PATH": "", "HOME": "",
	} {
		if got := s.Spec.Env[name]; got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
}

// A task with a chroot is nobody unless its job names a user: its root and its secrets are that
// user's, and the agent's account is not in its environment.
func TestTaskInAChroot(t *testing.T) {
	t.Setenv("HOME", "/root")
	t.Setenv("TZ", "UTC")
	for _, tt := range []struct {
		user string
		uid  uint32
	}{{"", 65534}, {"root", 0}} {
		s := newSetup(t)
		s.Capabilities.Isolation = drivers.IsolationChroot
		s.Task.User = tt.user
		if err := prepare(t, s); err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"NOMAD_TASK_DIR": "/local", "HOME": "", "TZ": "UTC"} {
			if got := s.Spec.Env[name]; got != value {
				t.Errorf("%s: got %q, want %q", name, got, value)
			}
		}
		for _, dir := range []string{s.Spec.Dir.Task, s.Spec.Dir.Secrets} {
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; os.Geteuid() == 0 && owner != tt.uid || info.Mode().Perm()&0o022 != 0 {
				t.Errorf("user %q: %s has owner %d and mode %v, want owner %d alone to write", tt.user, dir, owner, info.Mode(), tt.uid)
			}
		}
	}
}

func TestInterpolation(t *testing.T) {
	s := newSetup(t)
	s.Task.Env = map[string]string{"ADDR": "http://${NOMAD_ADDR_http}", "RACK": "${meta.rack}", "SELF": "${SELF}", "NOMAD_DC": "mine"}
	s.Task.Config = map[string]any{
		"stdout_string": "${NOMAD_TASK_NAME} on ${node.unique.name} ${attr.kernel.name} ${unknown.thing} ${NOMAD_PORT_ad-min} ${ NOMAD_DC }",
	}
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Spec.Config["stdout_string"], "web on n1 linux ${unknown.thing} 20002 mine"; got != want {
		t.Errorf("config: got %q, want %q", got, want)
	}
	for name, value := range map[string]string{"ADDR": "http://10.0.0.1:20001", "RACK": "r1", "SELF": "${SELF}", "NOMAD_DC": "mine"} {
		if got := s.Spec.Env[name]; got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if s.Task.Config["stdout_string"] == s.Spec.Config["stdout_string"] {
		t.Error("the job was changed")
	}
}

func TestInterpolationIsBounded(t *testing.T) {
	s := newSetup(t)
	s.Node.Meta["big"] = strings.Repeat("x", 1<<20)
	s.Task.Config = map[string]any{"stdout_string": strings.Repeat("${meta.big}", 1000)}
	err := prepare(t, s)
	if invalid := (*task.InvalidError)(nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "4194304 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestDirectories(t *testing.T) {
	s := newSetup(t)
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{
		"alloc/data": 0o777, "alloc/logs": 0o777, "alloc/tmp": 0o777 | fs.ModeSticky, "web": 0o711,
		"web/local": 0o777, "web/private": 0o700, "web/secrets": 0o700, "web/tmp": 0o777 | fs.ModeSticky,
	} {
		info, err := os.Stat(filepath.Join(s.Root, path))
		if err != nil || info.Mode()&^fs.ModeDir != mode {
			t.Errorf("%s: got %v, %v; want %v", path, info, err, mode)
		}
	}
}

func TestDirectoriesAreNotTakenFromTheTask(t *testing.T) {
	s := newSetup(t)
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(s.Root, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.Root, "web", "local")); err != nil {
		t.Fatal(err)
	}
	if err := prepare(t, s); err == nil || !strings.Contains(err.Error(), "something else is in its place") {
		t.Errorf("got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *task.Setup)
		want   string
	}{
		{"template", func(s *task.Setup) { s.Task.Templates = []*nomadish.Template{{}} }, "not support yet: template"},
		{"secret and volume", func(s *task.Setup) {
			s.Task.Secrets, s.Task.VolumeMounts = []*nomadish.Secret{{}}, []*nomadish.VolumeMount{{}}
		}, "not support yet: secret, volume_mount"},
		{"artifact of an unknown kind", func(s *task.Setup) { withArtifact(s, "ext::sh", "../..", nil) }, `artifact destination "../.." is outside`},
		{"name leads out", func(s *task.Setup) { s.Task.Name = "../x" }, `task name "../x"`},
		{"name of the shared directory", func(s *task.Setup) { s.Task.Name = "alloc" }, `task name "alloc"`},
		{"unknown option", func(s *task.Setup) { s.Task.Config = map[string]any{"run_fro": "1s"} }, `unknown option "run_fro"`},
		{"option of a wrong type", func(s *task.Setup) { s.Task.Config = map[string]any{"run_for": "soon"} }, `option "run_for": want a duration`},
		{"payload leads out", func(s *task.Setup) { s.Task.DispatchPayload = &nomadish.DispatchPayloadConfig{File: "../x"} }, `file "../x" is outside`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSetup(t)
			tt.change(s)
			err := prepare(t, s)
			if invalid := (*task.InvalidError)(nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	s := newSetup(t)
	s.Task.DispatchPayload = &nomadish.DispatchPayloadConfig{File: "in/data"}
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(s.Root, "web/local/in/data")); err != nil || string(data) != "payload" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestResourcesAndOutput(t *testing.T) {
	s := newSetup(t)
	s.Task.LogConfig = &nomadish.LogConfig{MaxFiles: nomadish.Ptr(2), MaxFileSizeMB: nomadish.Ptr(3)}
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	r := s.Spec.Resources
	if r.CPUMHz != 500 || r.TotalMHz != 4000 || r.MemoryBytes != 256<<20 || r.Limit() != 512<<20 {
		t.Errorf("got %+v", r)
	}
	for kind, o := range map[string]drivers.Output{"stdout": s.Spec.Stdout, "stderr": s.Spec.Stderr} {
		if want := (drivers.Output{Root: s.Root, Path: "alloc/logs/web." + kind, MaxFiles: 2, MaxFileSize: 3 << 20}); o != want {
			t.Errorf("%s: got %+v, want %+v", kind, o, want)
		}
		if _, err := os.Stat(filepath.Join(o.Root, o.Path+".0")); err != nil {
			t.Error(err)
		}
	}
}

// FuzzInterpolate: whatever the text, what is unknown stays as it is written, values are
// not looked through again, the output is bounded and a second look finds nothing new
// unless a value holds a reference.
func FuzzInterpolate(f *testing.F) {
	for _, s := range []string{
		"", "plain", "${a}", "${a}${b}", "${unknown}", "${", "}", "${}", "$${a}", "${a", "${${a}}", "${ a }", `${env["a"]}`, "${env.a}",
		"${node.x}", "${NOMAD_PORT_a-b}", "é${a}\x00", "${range x}", "${attr.kernel.name}",
	} {
		f.Add(s, "value")
		f.Add(s, "${b}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		in := interpolator{env: map[string]string{"a": value, "NOMAD_PORT_a_b": "1"}, node: map[string]string{"node.x": "X"}, left: maxText}
		got := in.text(text)
		if !strings.Contains(text, "${") && got != text {
			t.Fatalf("%q became %q without a reference in it", text, got)
		}
		if limit := len(text) * (len(value) + 1); len(got) > limit {
			t.Fatalf("%q of %d bytes became %d bytes", text, len(text), len(got))
		}
		if strings.Contains(value, "${") || in.left < 0 {
			return
		}
		none := interpolator{left: maxText}
		if kept := none.text(text); kept != text {
			t.Fatalf("%q became %q though nothing is known", text, kept)
		}
		small := interpolator{env: in.env, node: in.node, left: 3}
		if out := small.text(text); len(out) > 3 {
			t.Fatalf("%q became %d bytes, allowed are 3", text, len(out))
		}
	})
}

func BenchmarkPrepare(b *testing.B) {
	s := newSetup(b)
	p := pipeline(b)
	b.Cleanup(func() {
		if err := p.Release(context.Background(), s); err != nil {
			b.Error(err)
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Prepare(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
