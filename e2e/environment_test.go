//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// canaryAgent stands for what is in the environment of an agent and is nobody else's.
const canaryAgent = "canary-20e7f3ab915c-agent"

// No task of any driver has anything of the agent's environment, whatever its name is, and
// no answer holds the secret of a node.
func TestTasksDoNotHaveTheAgentsEnvironment(t *testing.T) {
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	must(t, os.Mkdir(images, 0o755))
	ctx := testContext(t)
	program, err := machine.Build(ctx, dir, "./e2e/peer")
	must(t, err)
	archive, err := machine.Image(ctx, images, "nomadish.dev/peer:1", program)
	must(t, err)
	var env []string
	for _, name := range []string{"NOMAD_TOKEN", "CONSUL_HTTP_TOKEN", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DOCKER_AUTH_CONFIG", "ANYTHING"} {
		env = append(env, name+"="+canaryAgent)
	}
	n := newNode(t, machine.Config{Dev: true, Archives: images, Env: env})
	for driver, config := range map[string]map[string]any{
		"raw_exec": machine.Command("/bin/sleep", "1000"),
		"exec":     machine.Command("/bin/sleep", "1000"),
		"docker":   {"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":8080", "front"}},
	} {
		t.Run(driver, func(t *testing.T) {
			ctx, id := testContext(t), "environment-"+strings.ReplaceAll(driver, "_", "-")
			job := machine.Job(id, nomadish.JobTypeService, driver, config)
			job.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(10 * time.Millisecond) // sleep does not listen
			_, err := n.Register(ctx, job)
			must(t, err)
			a, err := n.Allocation(ctx, id, nomadish.AllocClientRunning, nomadish.AllocClientFailed)
			must(t, err)
			must(t, machine.Until(ctx, "the task has its environment", func(context.Context) error { return inherits(n, a.ID) }))
			must(t, n.Stopped(ctx, id, true))
		})
	}
	secret, err := os.ReadFile(filepath.Join(n.DataDir(), "client", "secret-id"))
	must(t, err)
	for _, path := range []string{"/v1/nodes", "/v1/agent/self", "/v1/agent/members", "/v1/metrics", nodePath(t, n)} {
		text, err := fetch(ctx, "http://"+n.Addr+path)
		must(t, err)
		if err := secretsIn(text, canaryAgent, strings.TrimSpace(string(secret))); err != nil {
			t.Errorf("the answer to %s: %v", path, err)
		}
	}
}

// inherits looks at the environment of an allocation's processes. While the driver's own
// program still is where the task's will be, it does not have the task's name.
func inherits(n *machine.Node, allocID string) error {
	pids, err := n.TaskPIDs(allocID)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !strings.Contains(string(env), "NOMAD_TASK_NAME="+machine.Task) {
			continue
		}
		if err := secretsIn(string(env), canaryAgent); err != nil {
			return machine.Final(err)
		}
		return nil
	}
	return fmt.Errorf("none of %d processes is the task's", len(pids))
}

func nodePath(t *testing.T, n *machine.Node) string {
	t.Helper()
	id, err := n.NodeID(testContext(t))
	must(t, err)
	return "/v1/node/" + id
}
