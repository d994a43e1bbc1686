package login

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/go-bexpr"

	"github.com/nomadish/nomadish/nomadish"
)

var (
	methodName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,128}$`)
	mappedName = regexp.MustCompile(`^[a-zA-Z0-9_]{1,64}$`)
)

// Limits of an auth method.
const (
	maxMethodKeys = 100
	maxMappings   = 100
	maxPEM        = 64 << 10 // bytes
)

// CheckMethod says what is wrong with an auth method. Tokens live at least minTTL and at
// most maxTTL.
func CheckMethod(m *nomadish.ACLAuthMethod, minTTL, maxTTL time.Duration) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !methodName.MatchString(m.Name) {
		fault("invalid name '%.200s'", m.Name)
	}
	if m.TokenLocality != nomadish.ACLLocalityLocal && m.TokenLocality != nomadish.ACLLocalityGlobal {
		fault("invalid token locality '%s'", m.TokenLocality)
	}
	if ttl := time.Duration(m.MaxTokenTTL); ttl < minTTL || ttl > maxTTL {
		fault("invalid MaxTokenTTL value '%s' (should be between %s and %s)", ttl, minTTL, maxTTL)
	}
	if err := checkReferences(m.TokenNameFormat, "auth_method_type", "auth_method_name"); err != nil {
		fault("token name format: %w", err)
	}
	if m.Config == nil {
		fault("missing auth method config")
		return invalid(errs)
	}
	switch m.Type {
	case nomadish.ACLAuthMethodJWT:
		errs = append(errs, checkJWT(m.Config)...)
	case nomadish.ACLAuthMethodOIDC:
		if m.Config.OIDCDiscoveryURL == "" {
			fault("missing OIDCDiscoveryURL")
		}
		if m.Config.OIDCClientID == "" {
			fault("missing OIDCClientID")
		}
	default:
		fault("invalid token type '%s'", m.Type)
	}
	return invalid(append(errs, checkConfig(m.Config)...))
}

func invalid(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "invalid auth method configuration: %w", err)
	}
	return nil
}

// checkJWT checks where keys come from.
func checkJWT(c *nomadish.ACLAuthMethodConfig) []error {
	sources := 0
	for _, set := range []bool{len(c.JWTValidationPubKeys) > 0, c.JWKSURL != "", c.OIDCDiscoveryURL != ""} {
		if set {
			sources++
		}
	}
	if sources != 1 {
		return []error{errors.New("exactly one of JWTValidationPubKeys, JWKSURL and OIDCDiscoveryURL must be set for type JWT")}
	}
	var errs []error
	if len(c.JWTValidationPubKeys) > maxMethodKeys {
		errs = append(errs, fmt.Errorf("%d JWTValidationPubKeys, more than the limit of %d", len(c.JWTValidationPubKeys), maxMethodKeys))
	}
	for i, text := range c.JWTValidationPubKeys {
		if _, err := publicKey(text); err != nil {
			errs = append(errs, fmt.Errorf("JWTValidationPubKeys[%d]: %w", i, err))
		}
	}
	return errs
}

// checkConfig checks what methods of both types have.
func checkConfig(c *nomadish.ACLAuthMethodConfig) []error {
	var errs []error
	for _, u := range []struct{ name, text string }{{"JWKSURL", c.JWKSURL}, {"OIDCDiscoveryURL", c.OIDCDiscoveryURL}} {
		if u.text == "" {
			continue
		}
		if err := checkURL(u.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.name, err))
		}
	}
	for _, name := range c.SigningAlgs {
		if !slices.Contains(supported, jose.SignatureAlgorithm(name)) {
			errs = append(errs, fmt.Errorf("SigningAlgs: %q is not supported: must be among %s", name, names(supported)))
		}
	}
	for _, roots := range append(slices.Clone(c.DiscoveryCaPem), c.JWKSCACert) {
		if len(roots) > maxPEM {
			errs = append(errs, fmt.Errorf("certificates of %d bytes, more than the limit of %d", len(roots), maxPEM))
		} else if roots != "" {
			if _, err := client(roots); err != nil {
				errs = append(errs, err)
			}
		}
	}
	errs = append(errs, checkMappings("ClaimMappings", c.ClaimMappings)...)
	return append(errs, checkMappings("ListClaimMappings", c.ListClaimMappings)...)
}

func checkMappings(what string, mappings map[string]string) []error {
	var errs []error
	if len(mappings) > maxMappings {
		errs = append(errs, fmt.Errorf("%s: %d of them, more than the limit of %d", what, len(mappings), maxMappings))
	}
	seen := map[string]bool{}
	for _, from := range slices.Sorted(maps.Keys(mappings)) {
		to := mappings[from]
		if !mappedName.MatchString(to) {
			errs = append(errs, fmt.Errorf("%s: %.100q must be 1 to 64 letters, digits and _", what, to))
		}
		if seen[to] {
			errs = append(errs, fmt.Errorf("%s: two claims are mapped to %q", what, to))
		}
		seen[to] = true
	}
	return errs
}

// CheckRule says what is wrong with a binding rule's selector and name.
func CheckRule(b *nomadish.ACLBindingRule) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if b.Selector != "" {
		if _, err := bexpr.CreateEvaluator(b.Selector, bexpr.WithMaxExpressions(filterSteps)); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "invalid selector: %w", err)
		}
	}
	if err := checkReferences(b.BindName); err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "invalid bind name: %w", err)
	}
	return nil
}

// checkReferences says what is wrong with the references in a name: they are ${value.NAME},
// or others that are allowed.
func checkReferences(text string, others ...string) error {
	for _, ref := range reference.FindAllString(text, -1) {
		name := strings.TrimSpace(ref[2 : len(ref)-1])
		if value, ok := strings.CutPrefix(name, "value."); ok && mappedName.MatchString(value) || slices.Contains(others, name) {
			continue
		}
		return nomadish.Errorf(nomadish.KindInvalid, "%.100q refers to nothing: must be ${value.NAME}", ref)
	}
	if strings.Contains(reference.ReplaceAllString(text, ""), "${") {
		return nomadish.Errorf(nomadish.KindInvalid, "%.100q has a ${ without its }", text)
	}
	return nil
}
