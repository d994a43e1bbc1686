package nomadish

import (
	"errors"
	"time"
)

// Types of tokens (ACLToken.Type).
const (
	ACLTokenClient     = "client"     // may do what its policies and roles say
	ACLTokenManagement = "management" // may do everything
)

// OneTimeTokenTTL is how long a one-time token can be exchanged.
const OneTimeTokenTTL = 10 * time.Minute

// ACLToken gives its holder rights. The secret is what the holder shows; the accessor is
// the token's name to others. The state knows the secret only as a hash, to find the token
// by, and sealed, since management may see it again.
type ACLToken struct {
	AccessorID     string
	SecretID       SecretText `codec:"-"` // only in requests and answers
	Name           string
	Type           string
	Policies       []string
	Roles          []*ACLTokenRoleLink
	Global         bool // known in all regions
	CreateTime     time.Time
	ExpirationTime *time.Time   `json:",omitempty"`
	ExpirationTTL  TextDuration // sets ExpirationTime when the token is made
	CreateIndex    uint64
	ModifyIndex    uint64

	SecretHash KeyedHash `json:"-"`
	Secret     Sealed    `json:"-"` // bound to SealedBinding
}

// ACLTokenRoleLink is a role of a token: by ID, or in requests by name.
type ACLTokenRoleLink struct {
	ID   string
	Name string
}

// SecretPurpose is what secrets of tokens are hashed for.
const SecretPurpose = "acl-token"

// SealedBinding is what the sealed secret of the token is bound to.
func (t *ACLToken) SealedBinding() []byte { return []byte("acl-token\x00" + t.AccessorID) }

// Expired says whether the token has no rights any more.
func (t *ACLToken) Expired(now time.Time) bool {
	return t.ExpirationTime != nil && !now.Before(*t.ExpirationTime)
}

// ACLTokenListStub is an ACLToken in lists.
type ACLTokenListStub struct {
	AccessorID     string
	Name           string
	Type           string
	Policies       []string
	Roles          []*ACLTokenRoleLink
	Global         bool
	CreateTime     time.Time
	ExpirationTime *time.Time `json:",omitempty"`
	CreateIndex    uint64
	ModifyIndex    uint64
}

// Stub returns what lists show: all but the secret.
func (t *ACLToken) Stub() *ACLTokenListStub {
	return &ACLTokenListStub{
		AccessorID: t.AccessorID, Name: t.Name, Type: t.Type, Policies: t.Policies, Roles: t.Roles, Global: t.Global,
		CreateTime: t.CreateTime, ExpirationTime: t.ExpirationTime, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex,
	}
}

// ACLTokenBounds are how long tokens that expire may live.
type ACLTokenBounds struct {
	MinTTL time.Duration
	MaxTTL time.Duration
}

// Validate says what is wrong with a token that is made, or that takes the place of old.
func (t *ACLToken) Validate(bounds ACLTokenBounds, old *ACLToken) error {
	var errs []error
	if len(t.Name) > maxACLTokenName {
		errs = append(errs, Errorf(KindInvalid, "token name longer than %d characters", maxACLTokenName))
	}
	if n := len(t.Policies) + len(t.Roles); n > maxACLLinks {
		errs = append(errs, Errorf(KindInvalid, "%d policies and roles, more than the limit of %d", n, maxACLLinks))
	}
	switch t.Type {
	case ACLTokenClient:
		if len(t.Policies) == 0 && len(t.Roles) == 0 {
			errs = append(errs, errors.New("client token missing policies or roles"))
		}
	case ACLTokenManagement:
		if len(t.Policies) != 0 || len(t.Roles) != 0 {
			errs = append(errs, errors.New("management token cannot be associated with policies or roles"))
		}
	default:
		errs = append(errs, errors.New("token type must be client or management"))
	}
	for _, p := range t.Policies {
		errs = append(errs, checkACLName("policy", p))
	}
	errs = append(errs, t.checkExpiration(bounds, old))
	if old != nil {
		if old.Global != t.Global {
			errs = append(errs, Errorf(KindInvalid, "cannot toggle global mode of %s", t.AccessorID))
		}
	}
	return invalidACL(errs)
}

// checkExpiration says what is wrong with when the token ends: that is decided once.
func (t *ACLToken) checkExpiration(bounds ACLTokenBounds, old *ACLToken) error {
	if old != nil {
		was, is := Val(old.ExpirationTime), Val(t.ExpirationTime)
		if !was.Equal(is) || old.ExpirationTTL != t.ExpirationTTL {
			return errors.New("cannot update expiration time")
		}
		return nil
	}
	if t.ExpirationTTL < 0 {
		return Errorf(KindInvalid, "token expiration TTL '%s' should not be negative", t.ExpirationTTL)
	}
	if t.ExpirationTime == nil {
		return nil
	}
	in := t.ExpirationTime.Sub(t.CreateTime)
	switch {
	case in < 0:
		return errors.New("expiration time cannot be before create time")
	case bounds.MinTTL > 0 && in < bounds.MinTTL:
		return Errorf(KindInvalid, "expiration time cannot be less than %s in the future (was %s)", bounds.MinTTL, in)
	case bounds.MaxTTL > 0 && in > bounds.MaxTTL:
		return Errorf(KindInvalid, "expiration time cannot be more than %s in the future (was %s)", bounds.MaxTTL, in)
	}
	return nil
}

// OneTimeToken can be exchanged, once, for the token of its accessor: a link to a web page
// holds it instead of the secret itself.
type OneTimeToken struct {
	OneTimeSecretID SecretText `codec:"-"` // only in requests and answers
	AccessorID      string
	ExpiresAt       time.Time
	CreateIndex     uint64
	ModifyIndex     uint64

	SecretHash KeyedHash `json:"-"`
}

// OneTimeSecretPurpose is what secrets of one-time tokens are hashed for.
const OneTimeSecretPurpose = "acl-one-time-token"

// OneTimeTokenUpsertResponse shows a one-time token.
type OneTimeTokenUpsertResponse struct{ OneTimeToken *OneTimeToken }

// OneTimeTokenExchangeRequest asks for the token that a one-time token stands for.
type OneTimeTokenExchangeRequest struct{ OneTimeSecretID SecretText }

// OneTimeTokenExchangeResponse shows that token.
type OneTimeTokenExchangeResponse struct{ Token *ACLToken }

// ACLBootstrapRequest asks for the first management token of a cluster. Its secret is
// chosen by the server unless the request does, with a UUID.
type ACLBootstrapRequest struct{ BootstrapSecret SecretText }
