package endpoint

import (
	"context"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/login"
	"github.com/nomadish/nomadish/server/state"
)

// Login makes a token for somebody whom another system knows: what the binding rules of the
// auth method give.
func (e *Endpoint) Login(ctx context.Context, req *nomadish.ACLLoginRequest) (*nomadish.ACLToken, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	switch {
	case req.AuthMethodName == "":
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "missing auth method name")
	case req.LoginToken == "":
		return nil, 0, nomadish.Errorf(nomadish.KindInvalid, "missing login token")
	}
	method, err := e.store.Reader().ACLAuthMethod(nil, req.AuthMethodName)
	if method, err = found(method, err, "auth-method %q not found", req.AuthMethodName); err != nil {
		return nil, 0, err
	}
	who, err := e.logins.Verify(ctx, method, req.LoginToken.Reveal())
	if err != nil {
		return nil, 0, err
	}
	var index uint64
	var token *nomadish.ACLToken
	err = again(ctx, func() error {
		if token, err = e.granted(method, who); err != nil {
			return err
		}
		if err = e.seal(token); err != nil {
			return err
		}
		_, index, err = propose[any](ctx, e, &fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}})
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return e.storedToken(token.AccessorID, index)
}

// granted is the token that the binding rules give to somebody.
func (e *Endpoint) granted(method *nomadish.ACLAuthMethod, who *login.Identity) (*nomadish.ACLToken, error) {
	r := e.store.Reader()
	rules := slices.Collect(r.ACLBindingRulesOfMethod(nil, method.Name))
	grant, err := login.Bind(rules, who, known{r})
	if err != nil {
		return nil, err
	}
	token := &nomadish.ACLToken{
		AccessorID: nomadish.NewID(), SecretID: newSecret(), Name: login.TokenName(method, who),
		Type: nomadish.ACLTokenClient, Policies: grant.Policies, Global: method.TokenLocality == nomadish.ACLLocalityGlobal,
		CreateTime: e.cfg.Now().UTC(), ExpirationTTL: method.MaxTokenTTL,
	}
	token.ExpirationTime = nomadish.Ptr(token.CreateTime.Add(time.Duration(method.MaxTokenTTL)))
	switch {
	case grant.Management:
		token.Type = nomadish.ACLTokenManagement
	case len(grant.Roles) == 0 && len(grant.Policies) == 0:
		return nil, nomadish.Errorf(nomadish.KindDenied, "no role or policy bindings matched")
	}
	links := make([]*nomadish.ACLTokenRoleLink, 0, len(grant.Roles))
	for _, id := range grant.Roles {
		links = append(links, &nomadish.ACLTokenRoleLink{ID: id})
	}
	if token.Roles, err = roleLinks(r, links); err != nil {
		return nil, err
	}
	token.Policies = distinct(token.Policies, func(p string) string { return p })
	return token, token.Validate(nomadish.ACLTokenBounds{}, nil)
}

// known says which roles and policies the state has.
type known struct{ r state.Reader }

func (k known) Role(nameOrID string) (string, bool) {
	role, err := k.r.ACLRole(nil, nameOrID)
	if err != nil {
		if role, err = k.r.ACLRoleByName(nil, nameOrID); err != nil {
			return "", false
		}
	}
	return role.ID, true
}

func (k known) Policy(name string) bool {
	_, err := k.r.ACLPolicy(nil, name)
	return err == nil
}
