package login_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/login"
)

// known is a state with a role and some policies.
type known struct{}

func (known) Role(name string) (string, bool) {
	return "id-of-dev", name == "dev" || name == "id-of-dev"
}

func (known) Policy(name string) bool {
	return slices.Contains([]string{"readonly", "team-web", "team-"}, name)
}

// What binding rules give. A rule gives nothing that does not exist, and nothing to whom its
// selector or name says nothing about.
func TestBind(t *testing.T) {
	ann := &login.Identity{
		Value: map[string]string{"project": "web", "empty": "", "number": "7"},
		List:  map[string][]string{"groups": {"dev", "ops"}, "none": {}},
	}
	rule := func(kind, name, selector string) *nomadish.ACLBindingRule {
		return &nomadish.ACLBindingRule{AuthMethod: "ci", BindType: kind, BindName: name, Selector: selector}
	}
	for _, tt := range []struct {
		name  string
		rules []*nomadish.ACLBindingRule
		want  login.Grant
	}{
		{"no rule", nil, login.Grant{}},
		{"everybody", []*nomadish.ACLBindingRule{rule("policy", "readonly", "")}, login.Grant{Policies: []string{"readonly"}}},
		{"in a list", []*nomadish.ACLBindingRule{rule("role", "dev", "ops in list.groups")}, login.Grant{Roles: []string{"id-of-dev"}}},
		{"role by its ID", []*nomadish.ACLBindingRule{rule("role", "id-of-dev", "")}, login.Grant{Roles: []string{"id-of-dev"}}},
		{"not in a list", []*nomadish.ACLBindingRule{rule("role", "dev", "admin in list.groups")}, login.Grant{}},
		{"in an empty list", []*nomadish.ACLBindingRule{rule("role", "dev", "dev in list.none")}, login.Grant{}},
		{"a value", []*nomadish.ACLBindingRule{rule("policy", "readonly", `value.project == "web"`)}, login.Grant{Policies: []string{"readonly"}}},
		{"no part of a value", []*nomadish.ACLBindingRule{rule("policy", "readonly", `value.project == "we"`)}, login.Grant{}},
		{"not a value", []*nomadish.ACLBindingRule{rule("policy", "readonly", `value.project != "web"`)}, login.Grant{}},
		{"what nobody mapped", []*nomadish.ACLBindingRule{rule("management", "", `value.admin != "no"`)}, login.Grant{}},
		{"what nobody mapped, beside what matches", []*nomadish.ACLBindingRule{rule("management", "", `ops in list.groups and x not in list.admins`)}, login.Grant{}},
		{"anything at all", []*nomadish.ACLBindingRule{rule("management", "", `value is not empty`)}, login.Grant{}},
		{"any of a list", []*nomadish.ACLBindingRule{rule("role", "dev", `any list.groups as g { g == "ops" }`)}, login.Grant{Roles: []string{"id-of-dev"}}},
		{"not", []*nomadish.ACLBindingRule{rule("role", "dev", `not (admin in list.groups) and value.number == 7`)}, login.Grant{Roles: []string{"id-of-dev"}}},
		{"selector that is none", []*nomadish.ACLBindingRule{rule("policy", "readonly", `value.project`)}, login.Grant{}},
		{"name of a value", []*nomadish.ACLBindingRule{rule("policy", "team-${value.project}", "")}, login.Grant{Policies: []string{"team-web"}}},
		{"name of an empty value", []*nomadish.ACLBindingRule{rule("policy", "team-${value.empty}", "")}, login.Grant{}},
		{"name of what nobody mapped", []*nomadish.ACLBindingRule{rule("policy", "team-${value.x}", "")}, login.Grant{}},
		{"policy that does not exist", []*nomadish.ACLBindingRule{rule("policy", "admin", "")}, login.Grant{}},
		{"role that does not exist", []*nomadish.ACLBindingRule{rule("role", "admin", "")}, login.Grant{}},
		{"management", []*nomadish.ACLBindingRule{rule("policy", "readonly", ""), rule("management", "", "dev in list.groups")}, login.Grant{Management: true}},
		{"several", []*nomadish.ACLBindingRule{rule("policy", "readonly", ""), rule("role", "dev", "")}, login.Grant{Policies: []string{"readonly"}, Roles: []string{"id-of-dev"}}},
	} {
		got, err := login.Bind(tt.rules, ann, known{})
		if tt.name == "selector that is none" {
			if err == nil {
				t.Errorf("%s: no error", tt.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	m := &nomadish.ACLAuthMethod{Name: "ci", Type: "JWT", TokenNameFormat: "${auth_method_type} ${auth_method_name} ${value.project}"}
	if got := login.TokenName(m, ann); got != "JWT ci web" {
		t.Errorf("name of the token: %q", got)
	}
}

// What can't work is refused when it is stored.
func TestCheck(t *testing.T) {
	for want, change := range map[string]func(m *nomadish.ACLAuthMethod){
		"":                                func(*nomadish.ACLAuthMethod) {},
		"invalid name":                    func(m *nomadish.ACLAuthMethod) { m.Name = "a/b" },
		"invalid token locality":          func(m *nomadish.ACLAuthMethod) { m.TokenLocality = "here" },
		"invalid MaxTokenTTL":             func(m *nomadish.ACLAuthMethod) { m.MaxTokenTTL = 1 },
		"invalid token type":              func(m *nomadish.ACLAuthMethod) { m.Type = "SAML" },
		"missing auth method config":      func(m *nomadish.ACLAuthMethod) { m.Config = nil },
		"exactly one of":                  func(m *nomadish.ACLAuthMethod) { m.Config.JWKSURL = "https://x" },
		"JWTValidationPubKeys[0]":         func(m *nomadish.ACLAuthMethod) { m.Config.JWTValidationPubKeys[0] = "x" },
		"verifies no supported algorithm": func(m *nomadish.ACLAuthMethod) { m.Config.JWTValidationPubKeys[0] = public(t, keys().small) },
		`"HS256" is not supported`:        func(m *nomadish.ACLAuthMethod) { m.Config.SigningAlgs = []string{"HS256"} },
		`"none" is not supported`:         func(m *nomadish.ACLAuthMethod) { m.Config.SigningAlgs = []string{"none"} },
		"must begin with https:// or": func(m *nomadish.ACLAuthMethod) {
			m.Config.JWTValidationPubKeys, m.Config.JWKSURL = nil, "file:///etc/passwd"
		},
		"neither a user": func(m *nomadish.ACLAuthMethod) {
			m.Config.JWTValidationPubKeys, m.Config.JWKSURL = nil, "https://a:b@x/keys"
		},
		"no certificate":       func(m *nomadish.ACLAuthMethod) { m.Config.JWKSCACert = "x" },
		"two claims":           func(m *nomadish.ACLAuthMethod) { m.Config.ClaimMappings["x"] = "project" },
		"letters, digits":      func(m *nomadish.ACLAuthMethod) { m.Config.ClaimMappings["x"] = "a b" },
		"refers to nothing":    func(m *nomadish.ACLAuthMethod) { m.TokenNameFormat = "${env.HOME}" },
		"a ${ without its }":   func(m *nomadish.ACLAuthMethod) { m.TokenNameFormat = "${value.x" },
		"missing OIDCClientID": func(m *nomadish.ACLAuthMethod) { m.Type = nomadish.ACLAuthMethodOIDC },
	} {
		m := method(t)
		change(m)
		err := login.CheckMethod(m, time.Minute, 24*time.Hour)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for want, b := range map[string]nomadish.ACLBindingRule{
		"":                  {AuthMethod: "ci", BindType: "role", BindName: "team-${value.team}", Selector: "a in list.b"},
		"auth method is":    {BindType: "management"},
		"bind type is":      {AuthMethod: "ci"},
		"unsupported bind":  {AuthMethod: "ci", BindType: "user"},
		"bind name is":      {AuthMethod: "ci", BindType: "role"},
		"should be empty":   {AuthMethod: "ci", BindType: "management", BindName: "x"},
		"invalid selector":  {AuthMethod: "ci", BindType: "management", Selector: "((("},
		"refers to nothing": {AuthMethod: "ci", BindType: "policy", BindName: "${value.a.b}"},
	} {
		if err := login.CheckRule(&b); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("rule: want %q, got %v", want, err)
		}
	}
}
