package api

import (
	"context"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// ACL are the routes of access control.
type ACL struct{ c *Client }

// ACL returns the routes of access control.
func (c *Client) ACL() ACL { return ACL{c} }

// Policies lists policies by name: all for management, one's own for others.
func (a ACL) Policies(ctx context.Context, q *Query) ([]*nomadish.ACLPolicyListStub, Meta, error) {
	return get[[]*nomadish.ACLPolicyListStub](ctx, a.c, "/v1/acl/policies", q)
}

// OwnPolicies lists the policies that the client's token gives.
func (a ACL) OwnPolicies(ctx context.Context, q *Query) ([]*nomadish.ACLPolicyListStub, Meta, error) {
	return get[[]*nomadish.ACLPolicyListStub](ctx, a.c, "/v1/acl/policy/self", q)
}

// Policy reads a policy.
func (a ACL) Policy(ctx context.Context, name string, q *Query) (*nomadish.ACLPolicy, Meta, error) {
	return get[*nomadish.ACLPolicy](ctx, a.c, "/v1/acl/policy/"+id(name), q)
}

// PutPolicy stores a policy in place of the one with its name.
func (a ACL) PutPolicy(ctx context.Context, policy *nomadish.ACLPolicy) error {
	_, err := a.c.do(ctx, call{method: http.MethodPut, path: "/v1/acl/policy/" + id(policy.Name), in: policy})
	return err
}

// DeletePolicy removes a policy.
func (a ACL) DeletePolicy(ctx context.Context, name string) error {
	return a.c.remove(ctx, "/v1/acl/policy/"+id(name))
}

// Roles lists roles by ID: all for management, one's own for others.
func (a ACL) Roles(ctx context.Context, q *Query) ([]*nomadish.ACLRoleListStub, Meta, error) {
	return get[[]*nomadish.ACLRoleListStub](ctx, a.c, "/v1/acl/roles", q)
}

// Role reads a role by its ID.
func (a ACL) Role(ctx context.Context, roleID string, q *Query) (*nomadish.ACLRole, Meta, error) {
	return get[*nomadish.ACLRole](ctx, a.c, "/v1/acl/role/"+id(roleID), q)
}

// RoleByName reads a role by its name.
func (a ACL) RoleByName(ctx context.Context, name string, q *Query) (*nomadish.ACLRole, Meta, error) {
	return get[*nomadish.ACLRole](ctx, a.c, "/v1/acl/role/name/"+id(name), q)
}

// PutRole makes a role, or changes the one with its ID.
func (a ACL) PutRole(ctx context.Context, role *nomadish.ACLRole) (*nomadish.ACLRole, error) {
	return put[*nomadish.ACLRole](ctx, a.c, withID("/v1/acl/role", role.ID), nil, role)
}

// DeleteRole removes a role.
func (a ACL) DeleteRole(ctx context.Context, roleID string) error {
	return a.c.remove(ctx, "/v1/acl/role/"+id(roleID))
}

// Tokens lists tokens, the oldest first, without their secrets.
func (a ACL) Tokens(ctx context.Context, q *Query) ([]*nomadish.ACLTokenListStub, Meta, error) {
	return get[[]*nomadish.ACLTokenListStub](ctx, a.c, "/v1/acl/tokens", q)
}

// Token reads a token with its secret.
func (a ACL) Token(ctx context.Context, accessor string, q *Query) (*nomadish.ACLToken, Meta, error) {
	return get[*nomadish.ACLToken](ctx, a.c, "/v1/acl/token/"+id(accessor), q)
}

// OwnToken reads the token that the client shows.
func (a ACL) OwnToken(ctx context.Context, q *Query) (*nomadish.ACLToken, Meta, error) {
	return get[*nomadish.ACLToken](ctx, a.c, "/v1/acl/token/self", q)
}

// PutToken makes a token, or changes the one with its accessor ID.
func (a ACL) PutToken(ctx context.Context, token *nomadish.ACLToken) (*nomadish.ACLToken, error) {
	return put[*nomadish.ACLToken](ctx, a.c, withID("/v1/acl/token", token.AccessorID), nil, token)
}

// DeleteToken removes a token.
func (a ACL) DeleteToken(ctx context.Context, accessor string) error {
	return a.c.remove(ctx, "/v1/acl/token/"+id(accessor))
}

// Bootstrap makes the first management token. Its secret is chosen by the server if it is
// not given.
func (a ACL) Bootstrap(ctx context.Context, secret nomadish.SecretText) (*nomadish.ACLToken, error) {
	return put[*nomadish.ACLToken](ctx, a.c, "/v1/acl/bootstrap", nil, &nomadish.ACLBootstrapRequest{BootstrapSecret: secret})
}

// IntroduceClient makes a token with which a new client node may register.
func (a ACL) IntroduceClient(ctx context.Context, req *nomadish.ClientIntroductionRequest) (*nomadish.ClientIntroductionResponse, error) {
	return put[*nomadish.ClientIntroductionResponse](ctx, a.c, "/v1/acl/identity/client-introduction-token", nil, req)
}

// OneTimeToken makes a one-time token of the client's own token.
func (a ACL) OneTimeToken(ctx context.Context) (*nomadish.OneTimeToken, error) {
	out, err := put[nomadish.OneTimeTokenUpsertResponse](ctx, a.c, "/v1/acl/token/onetime", nil, nil)
	return out.OneTimeToken, err
}

// ExchangeOneTimeToken returns the token that a one-time token stands for.
func (a ACL) ExchangeOneTimeToken(ctx context.Context, secret nomadish.SecretText) (*nomadish.ACLToken, error) {
	req := &nomadish.OneTimeTokenExchangeRequest{OneTimeSecretID: secret}
	out, err := put[nomadish.OneTimeTokenExchangeResponse](ctx, a.c, "/v1/acl/token/onetime/exchange", nil, req)
	return out.Token, err
}

// AuthMethods lists the ways to log in by name.
func (a ACL) AuthMethods(ctx context.Context, q *Query) ([]*nomadish.ACLAuthMethodListStub, Meta, error) {
	return get[[]*nomadish.ACLAuthMethodListStub](ctx, a.c, "/v1/acl/auth-methods", q)
}

// AuthMethod reads an auth method.
func (a ACL) AuthMethod(ctx context.Context, name string, q *Query) (*nomadish.ACLAuthMethod, Meta, error) {
	return get[*nomadish.ACLAuthMethod](ctx, a.c, "/v1/acl/auth-method/"+id(name), q)
}

// PutAuthMethod stores an auth method in place of the one with its name.
func (a ACL) PutAuthMethod(ctx context.Context, method *nomadish.ACLAuthMethod) (*nomadish.ACLAuthMethod, error) {
	return put[*nomadish.ACLAuthMethod](ctx, a.c, "/v1/acl/auth-method/"+id(method.Name), nil, method)
}

// DeleteAuthMethod removes an auth method.
func (a ACL) DeleteAuthMethod(ctx context.Context, name string) error {
	return a.c.remove(ctx, "/v1/acl/auth-method/"+id(name))
}

// BindingRules lists binding rules by ID.
func (a ACL) BindingRules(ctx context.Context, q *Query) ([]*nomadish.ACLBindingRuleListStub, Meta, error) {
	return get[[]*nomadish.ACLBindingRuleListStub](ctx, a.c, "/v1/acl/binding-rules", q)
}

// BindingRule reads a binding rule.
func (a ACL) BindingRule(ctx context.Context, ruleID string, q *Query) (*nomadish.ACLBindingRule, Meta, error) {
	return get[*nomadish.ACLBindingRule](ctx, a.c, "/v1/acl/binding-rule/"+id(ruleID), q)
}

// PutBindingRule makes a binding rule, or changes the one with its ID.
func (a ACL) PutBindingRule(ctx context.Context, rule *nomadish.ACLBindingRule) (*nomadish.ACLBindingRule, error) {
	return put[*nomadish.ACLBindingRule](ctx, a.c, withID("/v1/acl/binding-rule", rule.ID), nil, rule)
}

// DeleteBindingRule removes a binding rule.
func (a ACL) DeleteBindingRule(ctx context.Context, ruleID string) error {
	return a.c.remove(ctx, "/v1/acl/binding-rule/"+id(ruleID))
}

// Login makes a token for who has one of another system.
func (a ACL) Login(ctx context.Context, req *nomadish.ACLLoginRequest) (*nomadish.ACLToken, error) {
	return put[*nomadish.ACLToken](ctx, a.c, "/v1/acl/login", nil, req)
}

// withID is the path of a thing that is made, or changed if it has an ID.
func withID(path, thing string) string {
	if thing == "" {
		return path
	}
	return path + "/" + id(thing)
}

// remove deletes a thing.
func (c *Client) remove(ctx context.Context, path string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: path})
	return err
}
