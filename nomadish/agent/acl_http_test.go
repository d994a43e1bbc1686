package agent_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
)

// question is a request and what its answer has to be.
type question struct {
	method, path, body string
	status             int
	text               string // that the answer holds
}

// asks starts a server and returns what sends it requests with a token.
func asks(t *testing.T, cfg agent.Config) func(token string, q question) string {
	t.Helper()
	cfg.Name, cfg.DataDir, cfg.HTTP, cfg.Server = "s1", t.TempDir(), []string{"127.0.0.1:0"}, &server.Config{}
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(token string, q question) string {
		t.Helper()
		for {
			req, err := http.NewRequestWithContext(t.Context(), q.method, "http://"+a.Addr().String()+q.path, strings.NewReader(q.body))
			if err != nil {
				t.Fatal(err)
			}
			if token != "" {
				req.Header.Set("X-Nomad-Token", token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == http.StatusServiceUnavailable { // it leads in a moment
				time.Sleep(5 * time.Millisecond)
				continue
			}
			if resp.StatusCode != q.status || !strings.Contains(string(body), q.text) {
				t.Errorf("%s %s: %d %s; want %d and %q", q.method, q.path, resp.StatusCode, body, q.status, q.text)
			}
			if resp.Header.Get("X-Nomad-Index") == "0" {
				t.Errorf("%s %s: index 0", q.method, q.path)
			}
			return string(body)
		}
	}
}

// What the routes of access control answer, by status and text, as Nomad's clients know it.
func TestACLAnswers(t *testing.T) {
	ask := asks(t, agent.Config{ACL: true})
	ask("", question{"POST", "/v1/acl/bootstrap", `{"BootstrapSecret":"x"}`, 400, "invalid acl token"})
	var first nomadish.ACLToken
	if err := json.Unmarshal([]byte(ask("", question{"POST", "/v1/acl/bootstrap", "", 200, `"Type":"management"`})), &first); err != nil {
		t.Fatal(err)
	}
	token := first.SecretID.Reveal()
	const policy = `{"Name":"p","Rules":"namespace \"default\" { policy = \"read\" }"}`
	for _, q := range []question{
		{"POST", "/v1/acl/bootstrap", "", 400, "ACL bootstrap already done (reset index: "},
		{"GET", "/v1/acl/policies", "", 200, "[]"},
		{"POST", "/v1/acl/policy/p", "", 400, "request body is empty"},
		{"POST", "/v1/acl/policy/q", policy, 400, "ACL policy name does not match request path"},
		{"POST", "/v1/acl/policy/p", `{"Name":"p","Rules":"nonsense {"}`, 400, "policy p"},
		{"POST", "/v1/acl/policy/p", `{"Rules":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "larger than"},
		{"PUT", "/v1/acl/policy/p", policy, 200, ""},
		{"GET", "/v1/acl/policies?prefix=p", "", 200, `"Name":"p"`},
		{"GET", "/v1/acl/policies?prefix=x", "", 200, "[]"},
		{"GET", "/v1/acl/policy/p", "", 200, `"Rules":"namespace`},
		{"GET", "/v1/acl/policy/none", "", 404, "ACL policy not found"},
		{"DELETE", "/v1/acl/policy/none", "", 404, "ACL policy not found"},
		{"GET", "/v1/acl/roles", "", 200, "[]"},
		{"GET", "/v1/acl/role/name/none", "", 404, "ACL role not found"},
		{"POST", "/v1/acl/role", `{"Name":"r","Policies":[{"Name":"p"}]}`, 200, `"Name":"r"`},
		{"POST", "/v1/acl/role", `{"Name":"r","Policies":[{"Name":"p"}]}`, 400, "role with name r already exists"},
		{"GET", "/v1/acl/role/name/r", "", 200, `"Name":"p"`},
		{"GET", "/v1/acl/tokens", "", 200, `"Name":"Bootstrap Token"`},
		{"GET", "/v1/acl/tokens?prefix=abc", "", 500, "Input (without hyphens) must be even length"},
		{"GET", "/v1/acl/tokens?global=x", "", 400, "global"},
		{"GET", "/v1/acl/tokens?filter=Nope+==+1", "", 400, "failed to read"},
		{"GET", "/v1/acl/token/" + first.AccessorID, "", 200, `"SecretID":"` + token},
		{"GET", "/v1/acl/token/self", "", 200, first.AccessorID},
		{"GET", "/v1/acl/token/" + nomadish.NewID(), "", 404, "ACL token not found"},
		{"POST", "/v1/acl/token", `{"Type":"client"}`, 400, "client token missing policies or roles"},
		{"POST", "/v1/acl/token", `{"Type":"client","Policies":["p"],"ExpirationTTL":"1s"}`, 400, "less than 1m0s"},
		{"POST", "/v1/acl/token", `{"Type":"client","Policies":["p"],"ExpirationTTL":60000000000}`, 200, `"ExpirationTTL":"1m0s"`},
		{"POST", "/v1/acl/token", `{"Type":"client","Policies":["p"],"ExpirationTTL":"soon"}`, 400, "no duration"},
		{"POST", "/v1/acl/token/onetime", "", 200, `"OneTimeSecretID":"`},
		{"POST", "/v1/acl/token/onetime/exchange", `{"OneTimeSecretID":"x"}`, 403, "Permission denied"},
		{"GET", "/v1/acl/auth-methods", "", 200, "[]"},
		{"GET", "/v1/acl/auth-method/none", "", 404, "ACL auth-method not found"},
		{"GET", "/v1/acl/binding-rule/none", "", 404, "ACL binding rule not found"},
		{"POST", "/v1/acl/binding-rule", `{"AuthMethod":"none","BindType":"management"}`, 400, "ACL auth method none not found"},
		{"POST", "/v1/acl/login", `{"AuthMethodName":"none","LoginToken":"x"}`, 404, "not found"},
		{"POST", "/v1/acl/login", `{"AuthMethodName":"none","LoginToken":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "larger than"},
		{"POST", "/v1/acl/oidc/auth-url", `{}`, 501, "OIDC"},
		{"POST", "/v1/acl/oidc/complete-auth", `{}`, 501, "OIDC"},
		{"POST", "/v1/namespace", `{"Name":"a b"}`, 400, "Must match regex"},
		{"POST", "/v1/namespace/x", `{"Name":"y"}`, 400, "does not match"},
		{"PUT", "/v1/namespace/x", `{"Description":"d"}`, 200, ""},
		{"DELETE", "/v1/namespace/none", "", 404, "Namespace not found"},
		{"DELETE", "/v1/namespace/x", "", 200, ""},
		{"GET", "/v1/quota-usages", "", 200, "[]"},
		{"GET", "/v1/quota/none", "", 404, "Quota not found"},
		{"PATCH", "/v1/acl/token", "", 405, "Invalid method"},
	} {
		ask(token, q)
	}
	for _, q := range []question{
		{"GET", "/v1/acl/token/self", "", 200, `"AccessorID":"anonymous"`},
		{"GET", "/v1/acl/policies", "", 200, "[]"},
		{"GET", "/v1/acl/auth-methods", "", 200, "[]"},
		{"GET", "/v1/acl/tokens", "", 403, "Permission denied"},
		{"POST", "/v1/acl/token/onetime", "", 403, "Permission denied"},
		{"POST", "/v1/namespace", `{"Name":"x"}`, 403, "Permission denied"},
	} {
		ask("", q)
	}
}

// Without access control its routes say so, but for who asks about itself.
func TestACLAnswersWhenOff(t *testing.T) {
	ask := asks(t, agent.Config{})
	const off = "ACL support disabled"
	for _, q := range []question{
		{"GET", "/v1/acl/policies", "", 400, off},
		{"GET", "/v1/acl/tokens", "", 400, off},
		{"GET", "/v1/acl/auth-methods", "", 400, off},
		{"POST", "/v1/acl/bootstrap", "", 400, off},
		{"POST", "/v1/acl/token", `{"Type":"management"}`, 400, off},
		{"POST", "/v1/acl/token/onetime", "", 400, off},
		{"POST", "/v1/acl/login", `{"AuthMethodName":"x","LoginToken":"y"}`, 400, off},
		{"GET", "/v1/acl/token/self", "", 200, `"AccessorID":"acls-disabled"`},
		{"GET", "/v1/namespaces", "", 200, `"Name":"default"`},
	} {
		ask("whatever", q)
	}
}
