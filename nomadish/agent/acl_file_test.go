package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish/agent"
)

// The acl block switches access control on, for servers and clients, and bounds how long
// tokens live.
func TestACLBlock(t *testing.T) {
	config := func(text string) (agent.Config, []string, error) {
		t.Helper()
		file, warnings, err := load(t, text)
		if err != nil {
			return agent.Config{}, warnings, err
		}
		c, err := file.Config()
		return c, warnings, err
	}
	c, warnings, err := config(`
server {
  enabled                = true
  acl_token_gc_threshold = "2h"
}
acl {
  enabled                  = true
  token_ttl                = "30s"
  policy_ttl               = "60s"
  role_ttl                 = "60s"
  token_min_expiration_ttl = "30s"
  token_max_expiration_ttl = "48h"
}`)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	if !c.ACL || c.Server.ACL.MinTTL != 30*time.Second || c.Server.ACL.MaxTTL != 48*time.Hour || c.Server.GC.Thresholds.Token != 2*time.Hour {
		t.Errorf("ACL %v, bounds %+v, threshold %v", c.ACL, c.Server.ACL, c.Server.GC.Thresholds.Token)
	}
	if c, _, err := config("client {\n  enabled = true\n}\nacl {\n  enabled = true\n}"); err != nil || !c.ACL {
		t.Errorf("a client: ACL %v, %v", c.ACL, err)
	}
	for want, text := range map[string]string{
		"acl.token_ttl": `token_ttl = "soon"`,
		"acl.token_min_expiration_ttl: 2h0m0s is above": "token_min_expiration_ttl = \"2h\"\ntoken_max_expiration_ttl = \"1h\"",
		"token_max_expiration":                          `token_max_expiration = "1h"`,
	} {
		if _, _, err := config("acl {\n" + text + "\n}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
	c, warnings, err = config("region = \"eu\"\nserver {\n  enabled = true\n  authoritative_region = \"us\"\n}\nacl {\n  enabled = true\n  replication_token = \"x\"\n}")
	if err != nil || len(warnings) != 0 || c.Region != "eu" || c.Server.Authoritative != "us" || c.ReplicationToken != "x" {
		t.Errorf("a region that replicates: %q from %q, warnings %q, %v", c.Region, c.Server.Authoritative, warnings, err)
	}
}
