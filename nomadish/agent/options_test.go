package agent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/client/task/hooks"
)

// client.options of old files: what keeps tasks from something has its effect, what has none is
// named in a warning.
func TestClientOptions(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		offered       map[string]bool
		env           []string
		users         hooks.Users
		warnings      int
	}{
		{name: "none", offered: map[string]bool{"docker": true, "exec": true}},
		{name: "allowed", options: `"driver.allowlist" = "exec, java"`, offered: map[string]bool{"docker": false, "exec": true, "java": true}},
		{name: "allowed, as files used to say", options: `"driver.whitelist" = "exec"`, offered: map[string]bool{"docker": false, "exec": true}},
		{name: "denied", options: `"driver.denylist" = "exec"`, offered: map[string]bool{"docker": true, "exec": false}},
		{
			name: "denied and allowed", options: `"driver.denylist" = "exec", "driver.allowlist" = "exec,java"`,
			offered: map[string]bool{"exec": false, "java": true, "docker": false},
		},
		{name: "environment", options: `"env.denylist" = "TZ,LANG"`, env: []string{"TZ", "LANG"}},
		{
			name: "users of Nomad's drivers", options: `"user.denylist" = "root,deploy"`,
			users: hooks.Users{Denied: []string{"root", "deploy"}, Drivers: []string{"exec", "qemu", "java"}},
		},
		{
			name: "Nomad's users of drivers", options: `"user.checked_drivers" = "raw_exec"`,
			users: hooks.Users{Denied: []string{"root", "Administrator"}, Drivers: []string{"raw_exec"}},
		},
		{name: "without effect", options: `"driver.raw_exec.enable" = "1", "fingerprint.denylist" = "env_aws"`, warnings: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, warnings, err := load(t, "data_dir = \"/d\"\nclient {\n enabled = true\n options = { "+tt.options+" }\n}")
			if err != nil || len(warnings) != tt.warnings {
				t.Fatalf("Load: %v, warnings %q", err, warnings)
			}
			for driver, want := range tt.offered {
				if got := file.Offers(driver); got != want {
					t.Errorf("%s is offered: %t, want %t", driver, got, want)
				}
			}
			cfg, err := file.Config()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.env, cfg.Client.DeniedEnv); diff != "" {
				t.Errorf("denied variables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.users, cfg.Client.DeniedUsers); diff != "" {
				t.Errorf("denied users (-want +got):\n%s", diff)
			}
		})
	}
}

// A driver with several names is denied by each of them.
func TestDriverNames(t *testing.T) {
	file, _, err := load(t, `client { options = { "driver.denylist" = "docker" } }`)
	if err != nil || file.Offers("containerd", "docker") || !file.Offers("exec") {
		t.Errorf("%v; want docker denied by each of its names, and nothing else", err)
	}
}
