package agent_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
)

// A task on a node that is no server gets its identities, signed by the servers.
func TestTasksGetTheirIdentities(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	srv, err := agent.New(agent.Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{Issuer: "https://nomad.example.com"}, RPC: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan error, 1)
	cfg := config(t, func(_ context.Context, task *drivers.TaskSpec) int {
		seen <- checkIdentities(task)
		return 0
	})
	cfg.Server, cfg.Servers = nil, []string{srv.RPCAddr().String()}
	node, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- srv.Run(ctx) }()
	go func() { ended <- node.Run(ctx) }()
	j := job("known")
	j.TaskGroups[0].Tasks[0].Identity = &nomadish.WorkloadIdentity{Env: true, File: true}
	j.TaskGroups[0].Tasks[0].Identities = []*nomadish.WorkloadIdentity{{Name: "vault", Audience: []string{"vault.io"}, File: true}}
	if err := srv.Client().Jobs().Finish(ctx, j); err != nil {
		t.Error(err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// checkIdentities says what is wrong with what a task sees.
func checkIdentities(task *drivers.TaskSpec) error {
	for path, audience := range map[string]string{"nomad_token": nomadish.IdentityAudience, "nomad_vault.jwt": "vault.io"} {
		token, err := os.ReadFile(filepath.Join(task.Dir.Secrets, path))
		if err != nil {
			return err
		}
		parts := strings.Split(string(token), ".")
		if len(parts) != 3 {
			return fmt.Errorf("%s holds %q", path, token)
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			return err
		}
		var claims nomadish.IdentityClaims
		if err := json.Unmarshal(payload, &claims); err != nil {
			return err
		}
		if claims.AllocationID != task.AllocID || claims.JobID != "known" || claims.Task != "task" || claims.Issuer != "https://nomad.example.com" ||
			len(claims.Audience) != 1 || claims.Audience[0] != audience {
			return fmt.Errorf("%s: %s", path, payload)
		}
		if path == "nomad_token" && task.Env["NOMAD_TOKEN"] != string(token) {
			return fmt.Errorf("NOMAD_TOKEN is %q", task.Env["NOMAD_TOKEN"])
		}
	}
	if _, there := task.Env["NOMAD_TOKEN_vault"]; there {
		return fmt.Errorf("an identity is in the environment that was not to be")
	}
	return nil
}
