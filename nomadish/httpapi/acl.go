package httpapi

import (
	"context"
	"iter"
	"net/http"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Limits of bodies: what they hold has limits of its own, before JSON has quoted it.
const (
	bodyPolicy     = 768 << 10
	bodyAuthMethod = 1 << 20
)

// ACL keeps what access control is made of. It checks what a caller may see of it; all that
// it answers while access is not controlled is an error, but for OwnACLToken. Writes return
// their index.
type ACL interface {
	ACLPolicies
	ACLRoles
	ACLTokens
	ACLAuthMethods
	ACLBindingRules
}

// ACLPolicies keeps policies.
type ACLPolicies interface {
	ACLPolicies(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLPolicyListStub], uint64, error) // by name
	ACLPolicy(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.ACLPolicy, uint64, error)
	OwnACLPolicies(ctx context.Context, ws memdb.WatchSet) ([]*nomadish.ACLPolicyListStub, uint64, error)
	UpsertACLPolicy(ctx context.Context, policy *nomadish.ACLPolicy) (uint64, error)
	DeleteACLPolicy(ctx context.Context, name string) (uint64, error)
}

// ACLRoles keeps roles.
type ACLRoles interface {
	ACLRoles(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLRoleListStub], uint64, error) // by ID
	ACLRole(ctx context.Context, ws memdb.WatchSet, id string, byName bool) (*nomadish.ACLRole, uint64, error)
	UpsertACLRole(ctx context.Context, role *nomadish.ACLRole) (*nomadish.ACLRole, uint64, error)
	DeleteACLRole(ctx context.Context, id string) (uint64, error)
}

// ACLTokens keeps tokens.
type ACLTokens interface {
	ACLTokens(ctx context.Context, ws memdb.WatchSet, prefix string, global bool) (iter.Seq[*nomadish.ACLTokenListStub], uint64, error) // by accessor ID
	ACLToken(ctx context.Context, ws memdb.WatchSet, accessor string) (*nomadish.ACLToken, uint64, error)
	OwnACLToken(ctx context.Context, ws memdb.WatchSet) (*nomadish.ACLToken, uint64, error)
	UpsertACLToken(ctx context.Context, token *nomadish.ACLToken) (*nomadish.ACLToken, uint64, error)
	DeleteACLToken(ctx context.Context, accessor string) (uint64, error)
	BootstrapACL(ctx context.Context, req *nomadish.ACLBootstrapRequest) (*nomadish.ACLToken, uint64, error)
	MakeOneTimeToken(ctx context.Context) (*nomadish.OneTimeToken, uint64, error)
	ExchangeOneTimeToken(ctx context.Context, secret nomadish.SecretText) (*nomadish.ACLToken, uint64, error)
}

// ACLAuthMethods keeps the ways to log in, and lets people in.
type ACLAuthMethods interface {
	ACLAuthMethods(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.ACLAuthMethodListStub], uint64, error) // by name
	ACLAuthMethod(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.ACLAuthMethod, uint64, error)
	UpsertACLAuthMethod(ctx context.Context, method *nomadish.ACLAuthMethod) (*nomadish.ACLAuthMethod, uint64, error)
	DeleteACLAuthMethod(ctx context.Context, name string) (uint64, error)
	Login(ctx context.Context, req *nomadish.ACLLoginRequest) (*nomadish.ACLToken, uint64, error)
}

// ACLBindingRules keeps what people get who log in.
type ACLBindingRules interface {
	ACLBindingRules(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLBindingRuleListStub], uint64, error) // by ID
	ACLBindingRule(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.ACLBindingRule, uint64, error)
	UpsertACLBindingRule(ctx context.Context, rule *nomadish.ACLBindingRule) (*nomadish.ACLBindingRule, uint64, error)
	DeleteACLBindingRule(ctx context.Context, id string) (uint64, error)
}

// aclRoutes is the part of the table about access control. Where a token sees more than
// another, and where everybody may ask, the backend says who gets what.
func (a *API) aclRoutes() []Route {
	return []Route{
		{write, "/v1/acl/bootstrap", nomadish.PermNone, OnLeader, Shared, 0, a.bootstrapACL},
		{get, "/v1/acl/policies", nomadish.PermAnyone, OnServer, Read, 0, a.aclPolicies},
		{get, "/v1/acl/policy/self", nomadish.PermAnyone, OnServer, Read, 0, a.ownACLPolicies},
		{get, "/v1/acl/policy/:name", nomadish.PermAnyone, OnServer, Read, 0, a.aclPolicy},
		{write, "/v1/acl/policy/:name", nomadish.PermManagement, OnLeader, Shared, bodyPolicy, a.upsertACLPolicy},
		{destroy, "/v1/acl/policy/:name", nomadish.PermManagement, OnLeader, Shared, 0, a.deleteACLPolicy},
		{get, "/v1/acl/roles", nomadish.PermAnyone, OnServer, Read | PrefixID, 0, a.aclRoles},
		{write, "/v1/acl/role", nomadish.PermManagement, OnLeader, Shared, 0, a.upsertACLRole},
		{get, "/v1/acl/role/:id", nomadish.PermAnyone, OnServer, Read, 0, a.aclRole},
		{get, "/v1/acl/role/name/:name", nomadish.PermAnyone, OnServer, Read, 0, a.aclRoleByName},
		{write, "/v1/acl/role/:id", nomadish.PermManagement, OnLeader, Shared, 0, a.upsertACLRole},
		{destroy, "/v1/acl/role/:id", nomadish.PermManagement, OnLeader, Shared, 0, a.deleteACLRole},
		{get, "/v1/acl/tokens", nomadish.PermManagement, OnServer, Read | PrefixID, 0, a.aclTokens},
		{write, "/v1/acl/token", nomadish.PermManagement, OnLeader, IfGlobal, 0, a.upsertACLToken},
		{get, "/v1/acl/token/self", nomadish.PermAnyone, OnServer, Read, 0, a.ownACLToken},
		{write, "/v1/acl/token/onetime", nomadish.PermAnyone, OnLeader, 0, 0, a.makeOneTimeToken},
		{write, "/v1/acl/token/onetime/exchange", nomadish.PermNone, OnLeader, 0, 0, a.exchangeOneTimeToken},
		{get, "/v1/acl/token/:id", nomadish.PermAnyone, OnServer, Read, 0, a.aclToken},
		{write, "/v1/acl/token/:id", nomadish.PermManagement, OnLeader, IfGlobal, 0, a.upsertACLToken},
		{destroy, "/v1/acl/token/:id", nomadish.PermManagement, OnLeader, IfGlobal, 0, a.deleteACLToken},
		{get, "/v1/acl/auth-methods", nomadish.PermNone, OnServer, Read, 0, a.aclAuthMethods},
		{write, "/v1/acl/auth-method", nomadish.PermManagement, OnLeader, Shared, bodyAuthMethod, a.upsertACLAuthMethod},
		{get, "/v1/acl/auth-method/:name", nomadish.PermManagement, OnServer, Read, 0, a.aclAuthMethod},
		{write, "/v1/acl/auth-method/:name", nomadish.PermManagement, OnLeader, Shared, bodyAuthMethod, a.upsertACLAuthMethod},
		{destroy, "/v1/acl/auth-method/:name", nomadish.PermManagement, OnLeader, Shared, 0, a.deleteACLAuthMethod},
		{get, "/v1/acl/binding-rules", nomadish.PermManagement, OnServer, Read | PrefixID, 0, a.aclBindingRules},
		{write, "/v1/acl/binding-rule", nomadish.PermManagement, OnLeader, Shared, 0, a.upsertACLBindingRule},
		{get, "/v1/acl/binding-rule/:id", nomadish.PermManagement, OnServer, Read, 0, a.aclBindingRule},
		{write, "/v1/acl/binding-rule/:id", nomadish.PermManagement, OnLeader, Shared, 0, a.upsertACLBindingRule},
		{destroy, "/v1/acl/binding-rule/:id", nomadish.PermManagement, OnLeader, Shared, 0, a.deleteACLBindingRule},
		{write, "/v1/acl/login", nomadish.PermNone, OnLeader, IfGlobal, 0, a.login},
		{write, "/v1/acl/oidc/auth-url", nomadish.PermNone, OnServer, 0, 0, a.oidcLogin},
		{write, "/v1/acl/oidc/complete-auth", nomadish.PermNone, OnServer, 0, 0, a.oidcLogin},
	}
}

// wrote answers a write that returns nothing but its index.
func wrote(r *Request, index uint64, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return nil, nil
}

// made answers a write that returns what it stored.
func made[T any](r *Request, value T, index uint64, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return value, nil
}

// samePath says that a body names what the path names, and fills it in where it does not.
func samePath(noun, path string, name *string) error {
	if *name == "" {
		*name = path
	}
	if path != "" && *name != path {
		return nomadish.Errorf(nomadish.KindInvalid, "%s does not match request path", noun)
	}
	return nil
}

// oidcLogin refuses what needs a browser.
func (a *API) oidcLogin(*Request) (any, error) {
	return nil, &statusError{
		http.StatusNotImplemented,
		"logging in by OIDC with a browser is not there yet: log in with a token, by an auth method of type JWT",
	}
}
