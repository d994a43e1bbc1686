package nomadish

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// validJob is a job that passes.
func validJob() *Job {
	return &Job{
		ID: Ptr("web"),
		TaskGroups: []*TaskGroup{{
			Name:     Ptr("g"),
			Networks: []*NetworkResource{{Mode: "bridge", DynamicPorts: []Port{{Label: "http", To: 80}}}},
			Services: []*Service{{Name: "web", PortLabel: "http", Provider: ProviderNomad}},
			Tasks:    []*Task{{Name: "t", Driver: "docker", Config: map[string]any{"image": "x"}}},
		}},
	}
}

// spoiled jobs: how a valid job is spoiled, and what is said of it.
var spoiled = []struct {
	name, want, path, file string
	spoil                  func(j *Job, g *TaskGroup, t *Task)
}{
	{
		"group count", "Job wants more allocations than the limit of 50000", "TaskGroups", "group",
		func(_ *Job, g *TaskGroup, _ *Task) { g.Count = Ptr(50_001) },
	},
	{
		"count overflow", "Job wants more allocations than the limit of 50000", "TaskGroups", "group",
		func(j *Job, g *TaskGroup, _ *Task) {
			g.Count = Ptr(1 << 62)
			other := g.Copy()
			other.Name = Ptr("h")
			j.TaskGroups = append(j.TaskGroups, other)
		},
	},
	{
		"meta", "Meta takes 65537 bytes, more than the limit of 65536", "Meta", "meta",
		func(j *Job, _ *TaskGroup, _ *Task) { j.Meta = map[string]string{"a": strings.Repeat("x", 65_536)} },
	},
	{
		"env", "Env takes 131073 bytes, more than the limit of 131072", "TaskGroups[0].Tasks[0].Env", "group.g.task.t.env",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Env = map[string]string{"a": strings.Repeat("x", 131_072)} },
	},
	{
		"NUL in env", `Env "A" contains a null character`, "TaskGroups[0].Tasks[0].Env", "group.g.task.t.env",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Env = map[string]string{"A": "\x00"} },
	},
	{
		"task name alloc", `Task name cannot be "alloc", which is a directory of the allocation`, "TaskGroups[0].Tasks[0].Name", "group.g.task.alloc",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Name = "alloc" },
	},
	{
		"task name slash", "Task name cannot include slashes", "TaskGroups[0].Tasks[0].Name", "group.g.task.a/b",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Name = "a/b" },
	},
	{
		"memory", "minimum MemoryMB value is 10; got 5", "TaskGroups[0].Tasks[0].Resources.MemoryMB", "group.g.task.t.resources.memory",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Resources = &Resources{MemoryMB: Ptr(5)} },
	},
	{
		"cpu and cores", "Task can only ask for 'cpu' or 'cores' resource, not both.", "TaskGroups[0].Tasks[0].Resources.Cores", "group.g.task.t.resources.cores",
		func(_ *Job, _ *TaskGroup, t *Task) { t.Resources = &Resources{CPU: Ptr(100), Cores: Ptr(1)} },
	},
	{
		"second service", "http type must have http path", "TaskGroups[0].Services[1].Checks[0].Path", "group.g.service[1].check.path",
		func(_ *Job, g *TaskGroup, _ *Task) {
			g.Services = append(g.Services, &Service{
				Name: "b", PortLabel: "http", Provider: ProviderNomad,
				Checks: []ServiceCheck{{Type: "http", Interval: time.Second, Timeout: time.Second}},
			})
		},
	},
	{
		"reschedule interval", "Nomad can only make 2 attempts in 1m0s with initial delay 30s, delay function \"constant\"",
		"TaskGroups[0].ReschedulePolicy.Interval", "group.g.reschedule.interval",
		func(_ *Job, g *TaskGroup, _ *Task) {
			g.ReschedulePolicy = &ReschedulePolicy{Unlimited: Ptr(false), Attempts: Ptr(5), Interval: Ptr(time.Minute), Delay: Ptr(30 * time.Second), DelayFunction: Ptr(DelayConstant)}
		},
	},
	{
		"canary of batch", `Job type "batch" does not allow update block`, "TaskGroups[0].Update", "group.g.update",
		func(j *Job, g *TaskGroup, _ *Task) {
			j.Type = Ptr(JobTypeBatch)
			g.Update = &UpdateStrategy{Canary: Ptr(1)}
		},
	},
	{
		"sidecar without bridge", `Consul Connect sidecar requires bridge network, found "host" in group "g"`, "TaskGroups[0].Services[0].Connect", "group.g.service.connect",
		func(_ *Job, g *TaskGroup, _ *Task) {
			g.Networks[0].Mode = "host"
			g.Services[0].Provider = ProviderConsul
			g.Services[0].Connect = &ConsulConnect{SidecarService: &ConsulSidecarService{}}
		},
	},
	{
		"service port", `port label "nope" referenced by services web-g-t does not exist`, "TaskGroups[0].Tasks[0].Services", "group.g.task.t.service",
		func(_ *Job, _ *TaskGroup, t *Task) {
			t.Services = []*Service{{PortLabel: "nope", Provider: ProviderNomad}}
		},
	},
	{
		"static port twice", "Static port 80 already reserved by taskgroup network:a", "TaskGroups[0].Networks[0]", "group.g.network",
		func(_ *Job, g *TaskGroup, _ *Task) {
			g.Networks[0].ReservedPorts = []Port{{Label: "a", Value: 80}, {Label: "b", Value: 80}}
		},
	},
}

// TestValidateNamesTheField: each fault is refused in Nomad's words or names field and
// limit, and its path leads to the place in the file.
func TestValidateNamesTheField(t *testing.T) {
	for _, tt := range spoiled {
		t.Run(tt.name, func(t *testing.T) {
			job := validJob()
			tt.spoil(job, job.TaskGroups[0], job.TaskGroups[0].Tasks[0])
			job.Admit()
			err := job.Validate()
			var invalid *ValidationError
			if !errors.As(err, &invalid) || KindOf(err) != KindInvalid {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			for f := range invalid.Leaves() {
				if f.Message != tt.want {
					continue
				}
				if f.Path != tt.path {
					t.Errorf("path: got %s, want %s", f.Path, tt.path)
				}
				if got := job.FilePath(f.Path); got != tt.file {
					t.Errorf("file path: got %s, want %s", got, tt.file)
				}
				return
			}
			t.Errorf("got %v\nwant %s", err, tt.want)
		})
	}
	job := validJob()
	job.Admit()
	if err := job.Validate(); err != nil {
		t.Errorf("the valid job: %v", err)
	}
}

// TestPathsStayInside: only paths that leave the allocation's directory escape.
func TestPathsStayInside(t *testing.T) {
	for path, want := range map[string]bool{
		"local/x": false, "../alloc/x": false, "${NOMAD_SECRETS_DIR}/x": false, "/etc/x": false, "a/../..": false,
		"../../x": true, "../../alloc-dir-2": true, "a/../../../b": true, `..\..\x`: true,
	} {
		if got := escapesAlloc(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// TestCheckConfig: unknown, missing and ill-typed options are named; what HCL converts and
// what is filled in on the node passes.
func TestCheckConfig(t *testing.T) {
	schema := ConfigSchema{
		"image":   {Type: ConfigString, Required: true},
		"args":    {Type: ConfigStringList},
		"pids":    {Type: ConfigNumber},
		"tty":     {Type: ConfigBool},
		"timeout": {Type: ConfigDuration},
		"labels":  {Type: ConfigStringMap},
		"auth":    {Type: ConfigBlock, Block: ConfigSchema{"user": {Type: ConfigString, Required: true}}},
		"mount":   {Type: ConfigBlockList, Block: ConfigSchema{"target": {Type: ConfigString}}},
	}
	good := map[string]any{
		"image": "${meta.image}", "args": []any{"a", int64(1)}, "pids": "5", "tty": "${meta.tty}", "timeout": "5m",
		"labels": []any{map[string]any{"a": "b"}}, "auth": []any{map[string]any{"user": "u"}}, "mount": map[string]any{"target": "/x"},
	}
	if w := CheckConfig(schema, good); w != nil {
		t.Errorf("good config: %q", w)
	}
	bad := map[string]any{
		"imgae": "x", "args": "a", "pids": true, "tty": int64(1), "timeout": "soon", "auth": map[string]any{}, "mount": []any{map[string]any{}, map[string]any{"x": 1}},
	}
	want := []string{
		`option "args": want a list of strings`, `option "auth.user" is required`, `unknown option "imgae"`, `unknown option "mount[1].x"`,
		`option "pids": want a number`, `option "timeout": want a duration such as "30s"`, `option "tty": want true or false`, `option "image" is required`,
	}
	if got := CheckConfig(schema, bad); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestWithoutEffect: a warning names each place where a field of the table is set.
func TestWithoutEffect(t *testing.T) {
	job := validJob()
	job.TaskGroups[0].Tasks[0].Artifacts = []*TaskArtifact{{GetterSource: Ptr("x")}}
	job.TaskGroups[0].EphemeralDisk = &EphemeralDisk{Sticky: Ptr(false)}
	got := job.WithoutEffect(map[string]string{
		"TaskGroups.EphemeralDisk.Sticky": "unset",
		"TaskGroups.Tasks.Artifacts":      "artifacts are not fetched yet",
		"TaskGroups.Services.Checks":      "unset",
		"Multiregion":                     "unset",
	})
	if want := "1 warning:\n\n* TaskGroups[0].Tasks[0].Artifacts: artifacts are not fetched yet"; got.String() != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
