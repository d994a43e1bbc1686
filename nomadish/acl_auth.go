package nomadish

import (
	"errors"
	"time"
)

// Types of auth methods (ACLAuthMethod.Type).
const (
	ACLAuthMethodJWT  = "JWT"
	ACLAuthMethodOIDC = "OIDC"
)

// Where tokens that a login makes are known (ACLAuthMethod.TokenLocality).
const (
	ACLLocalityLocal  = "local"
	ACLLocalityGlobal = "global"
)

// ACLTokenNameFormat is the name of tokens that a login makes, unless the method has another.
const ACLTokenNameFormat = "${auth_method_type}-${auth_method_name}"

// ACLAuthMethod is a way to log in with what another system says of somebody.
type ACLAuthMethod struct {
	Name            string
	Type            string
	TokenLocality   string
	TokenNameFormat string
	MaxTokenTTL     TextDuration
	Default         bool // the method of a login that names none
	Config          *ACLAuthMethodConfig
	CreateTime      time.Time
	ModifyTime      time.Time
	CreateIndex     uint64
	ModifyIndex     uint64

	Secrets *Sealed `json:"-"` // of the config: an ACLAuthMethodSecrets in JSON, bound to SealedBinding
}

// SealedBinding is what the sealed secrets of the method are bound to.
func (m *ACLAuthMethod) SealedBinding() []byte { return []byte("acl-auth-method\x00" + m.Name) }

// ACLAuthMethodConfig says whose tokens are believed, and what of them counts.
type ACLAuthMethodConfig struct {
	JWTValidationPubKeys []string // PEM; one of these three has the keys
	JWKSURL              string
	OIDCDiscoveryURL     string
	OIDCClientID         string
	OIDCClientSecret     SecretText `codec:"-"`
	OIDCClientAssertion  *OIDCClientAssertion
	OIDCEnablePKCE       bool
	OIDCDisableUserInfo  bool
	OIDCScopes           []string
	BoundAudiences       []string
	BoundIssuer          []string
	AllowedRedirectURIs  []string
	DiscoveryCaPem       []string // PEM of authorities for OIDCDiscoveryURL
	JWKSCACert           string   // PEM of the authority for JWKSURL
	SigningAlgs          []string
	ExpirationLeeway     TextDuration // beyond "exp"; default 150s where a token has none, negative: none
	NotBeforeLeeway      TextDuration // before "nbf"; likewise
	ClockSkewLeeway      TextDuration // on all times; default 60s, negative: none
	ClaimMappings        map[string]string
	ListClaimMappings    map[string]string
	VerboseLogging       bool
}

// OIDCClientAssertion is how a method proves to a provider who it is, instead of by a secret.
type OIDCClientAssertion struct {
	Audience     []string
	KeySource    string
	KeyAlgorithm string
	PrivateKey   *OIDCClientAssertionKey
	ExtraHeaders map[string]string
}

// OIDCClientAssertionKey is the key of an OIDCClientAssertion.
type OIDCClientAssertionKey struct {
	PemKey      SecretText `codec:"-"`
	PemKeyFile  string
	KeyIDHeader string
	KeyID       string
	PemCert     string
	PemCertFile string
}

// ACLAuthMethodSecrets are those of a method's config, which are stored sealed.
type ACLAuthMethodSecrets struct {
	OIDCClientSecret SecretText
	PemKey           SecretText
}

// Redacted stands for a secret in answers. In a request it leaves the secret as it is.
const Redacted = "redacted"

// ACLAuthMethodListStub is an ACLAuthMethod in lists, which everybody may see.
type ACLAuthMethodListStub struct {
	Name        string
	Type        string
	Default     bool
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns what lists show.
func (m *ACLAuthMethod) Stub() *ACLAuthMethodListStub {
	return &ACLAuthMethodListStub{Name: m.Name, Type: m.Type, Default: m.Default, CreateIndex: m.CreateIndex, ModifyIndex: m.ModifyIndex}
}

// What a binding rule gives (ACLBindingRule.BindType).
const (
	ACLBindRole       = "role"
	ACLBindPolicy     = "policy"
	ACLBindManagement = "management"
)

// ACLBindingRule says what somebody gets who logs in by a method.
type ACLBindingRule struct {
	ID          string
	Description string
	AuthMethod  string
	Selector    string // an expression over what the method's mappings took; empty: everybody
	BindType    string
	BindName    string // of the role or policy; may hold ${value.NAME}
	CreateTime  time.Time
	ModifyTime  time.Time
	CreateIndex uint64
	ModifyIndex uint64
}

// ACLBindingRuleListStub is an ACLBindingRule in lists.
type ACLBindingRuleListStub struct {
	ID          string
	Description string
	AuthMethod  string
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns what lists show.
func (b *ACLBindingRule) Stub() *ACLBindingRuleListStub {
	return &ACLBindingRuleListStub{ID: b.ID, Description: b.Description, AuthMethod: b.AuthMethod, CreateIndex: b.CreateIndex, ModifyIndex: b.ModifyIndex}
}

// Limits of binding rules.
const (
	maxACLSelector = 8 << 10
	maxACLBindName = 1024
)

// Validate says what is wrong with a rule, but for what is wrong with its selector and name.
func (b *ACLBindingRule) Validate() error {
	errs := []error{checkACLDescription(b.Description)}
	if b.AuthMethod == "" {
		errs = append(errs, errors.New("auth method is missing"))
	}
	switch b.BindType {
	case ACLBindRole, ACLBindPolicy:
		if b.BindName == "" {
			errs = append(errs, errors.New("bind name is missing"))
		}
	case ACLBindManagement:
		if b.BindName != "" {
			errs = append(errs, errors.New("bind name should be empty"))
		}
	case "":
		errs = append(errs, errors.New("bind type is missing"))
	default:
		errs = append(errs, Errorf(KindInvalid, "unsupported bind type: %q", b.BindType))
	}
	if len(b.Selector) > maxACLSelector {
		errs = append(errs, Errorf(KindInvalid, "selector has %d bytes, more than the limit of %d", len(b.Selector), maxACLSelector))
	}
	if len(b.BindName) > maxACLBindName {
		errs = append(errs, Errorf(KindInvalid, "bind name has %d bytes, more than the limit of %d", len(b.BindName), maxACLBindName))
	}
	return invalidACL(errs)
}

// ACLLoginRequest logs in with a token of another system.
type ACLLoginRequest struct {
	AuthMethodName string
	LoginToken     SecretText
}
