//go:build linux

package docker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// refusedJobs are the tasks of real job files that run nowhere here, by file and task, and why.
var refusedJobs = map[string]string{
	"104/mimir":          `no network block has a port "http"`, // a fault of the file: no network has it
	"323/process-fastqc": "missing option: image",              // the image comes with a dispatch that has it
	"343/kideo":          `no "nvidia" here`,
	"394/app":            "missing option: image", // the image is what is deployed
}

// The options of real job files are accepted by a node that allows all, or refused for a
// reason that is written down here.
func TestRealJobs(t *testing.T) {
	files, err := filepath.Glob("../../jobspec/testdata/parsed/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d job files, %v", len(files), err)
	}
	cfg := Config{HostVolumes: true, AllowPrivileged: true, AllowCaps: []string{"all"}}.withDefaults(nil)
	tasks := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var job nomadish.Job
		if err := json.Unmarshal(b, &job); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range job.TaskGroups {
			for _, task := range g.Tasks {
				if task.Driver != Name && !strings.HasPrefix(task.Driver, "containerd") {
					continue
				}
				tasks++
				id := strings.TrimSuffix(filepath.Base(file), ".json") + "/" + task.Name
				_, err := cfg.settingsOf(task.Driver, realSpec(g, task))
				why, bad := refusedJobs[id]
				if (err != nil) != bad || bad && !strings.Contains(err.Error(), why) {
					t.Errorf("%s: error %v, want %q", id, err, why)
				}
			}
		}
	}
	if tasks < 60 {
		t.Errorf("only %d tasks", tasks)
	}
}

// realSpec is what the agent makes of a task, as far as its options go.
func realSpec(g *nomadish.TaskGroup, task *nomadish.Task) *drivers.TaskSpec {
	spec := &drivers.TaskSpec{
		Task: task.Name, AllocID: "a", User: task.User, Network: &drivers.Network{},
		Config: filled(task.Config).(map[string]any),
		Dir:    drivers.TaskDir{Alloc: "/d/a/alloc", Task: "/d/a/t", Local: "/d/a/t/local", Secrets: "/d/a/t/secrets"},
	}
	networks := g.Networks
	if task.Resources != nil {
		networks = append(networks, task.Resources.Networks...)
	}
	for _, n := range networks {
		for _, p := range append(n.DynamicPorts, n.ReservedPorts...) {
			spec.Ports = append(spec.Ports, drivers.Port{Label: p.Label, Host: 20000})
		}
	}
	return spec
}

// filled puts values into what is filled in on the node.
func filled(v any) any {
	switch v := v.(type) {
	case string:
		return strings.NewReplacer("${NOMAD_TASK_DIR}", "/local", "${NOMAD_ALLOC_DIR}", "/alloc", "${NOMAD_SECRETS_DIR}", "/secrets",
			"${attr.unique.network.ip-address}", "192.0.2.1", "${", "", "}", "").Replace(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = filled(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = filled(e)
		}
		return out
	}
	return v
}
