package login

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Leeways, where a method sets none.
const (
	defaultLifetime = 150 * time.Second // of a token that does not say all of its times
	defaultSkew     = 60 * time.Second  // between the clocks
)

// leeway is a method's setting: zero stands for the default, less for none.
func leeway(set nomadish.TextDuration, byDefault time.Duration) time.Duration {
	return max(0, cmp.Or(time.Duration(set), byDefault))
}

// check compares what a token says of itself with what the method wants.
func (c claims) check(m *nomadish.ACLAuthMethodConfig, now time.Time) error {
	if issuer, _ := c["iss"].(string); len(m.BoundIssuer) > 0 && !slices.Contains(m.BoundIssuer, issuer) {
		return refused("the issuer %.200q is none of the method's", issuer)
	}
	audience, err := c.texts("aud")
	if err != nil {
		return err
	}
	switch {
	case len(m.BoundAudiences) == 0 && len(audience) > 0:
		return refused("the token is for %.200q, and the method has no bound audiences", audience)
	case len(m.BoundAudiences) > 0 && !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(m.BoundAudiences, a) }):
		return refused("the token is for %.200q, none of the method's audiences", audience)
	}
	return c.checkTimes(m, now)
}

// checkTimes says whether a token is valid now. A token says when it was made, or when it
// begins, or when it ends; what it leaves out is taken from what it says.
func (c claims) checkTimes(m *nomadish.ACLAuthMethodConfig, now time.Time) error {
	var made, begins, ends time.Time
	for _, t := range []struct {
		claim string
		into  *time.Time
	}{{"iat", &made}, {"nbf", &begins}, {"exp", &ends}} {
		var err error
		if *t.into, err = c.time(t.claim); err != nil {
			return err
		}
	}
	if made.IsZero() && begins.IsZero() && ends.IsZero() {
		return refused("the token says no time: it needs one of exp, nbf and iat")
	}
	if ends.IsZero() {
		start := made
		if begins.After(made) {
			start = begins
		}
		ends = start.Add(leeway(m.ExpirationLeeway, defaultLifetime))
	}
	if begins.IsZero() {
		if begins = made; begins.IsZero() {
			begins = ends.Add(-leeway(m.NotBeforeLeeway, defaultLifetime))
		}
	}
	skew := leeway(m.ClockSkewLeeway, defaultSkew)
	switch {
	case !now.Before(ends.Add(skew)):
		return refused("the token has expired at %s", ends.UTC().Format(time.RFC3339))
	case now.Before(begins.Add(-skew)):
		return refused("the token is not valid before %s", begins.UTC().Format(time.RFC3339))
	case now.Before(made.Add(-skew)):
		return refused("the token was made at %s, which is to come", made.UTC().Format(time.RFC3339))
	}
	return nil
}

// farthest is the latest time that a token may say: the end of the year 9999.
const farthest = 253402300799

// time returns a claim in seconds since 1970; zero: the token does not say it.
func (c claims) time(name string) (time.Time, error) {
	v, there := c[name]
	if !there || v == nil {
		return time.Time{}, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, refused("the claim %s is no number", name)
	}
	f, err := n.Float64()
	if err != nil || math.IsNaN(f) || f < 1 || f > farthest {
		return time.Time{}, refused("the claim %s is no time", name)
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// texts returns a claim that is a text or a list of texts.
func (c claims) texts(name string) ([]string, error) {
	switch v := c[name].(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, refused("the claim %s is no list of texts", name)
			}
			list = append(list, text)
		}
		return list, nil
	}
	return nil, refused("the claim %s is neither a text nor a list of texts", name)
}

// Identity is what an auth method maps of a token: what selectors and names of binding rules
// are about.
type Identity struct {
	Value map[string]string   `bexpr:"value"`
	List  map[string][]string `bexpr:"list"`
}

// Bounds of what is mapped.
const (
	maxMapped = 4 << 10 // bytes of a value
	maxListed = 1000    // values of a list
)

// identity maps claims. Every name that the method maps is there, empty where the token does
// not say it.
func (c claims) identity(m *nomadish.ACLAuthMethodConfig) (*Identity, error) {
	who := &Identity{Value: map[string]string{}, List: map[string][]string{}}
	for from, to := range m.ClaimMappings {
		v := c.at(from)
		if v == nil {
			who.Value[to] = ""
			continue
		}
		text, ok := scalar(v)
		if !ok || len(text) > maxMapped {
			return nil, refused("the claim %q is no text, number or truth value of at most %d bytes", from, maxMapped)
		}
		who.Value[to] = text
	}
	for from, to := range m.ListClaimMappings {
		list, err := listed(from, c.at(from))
		if err != nil {
			return nil, err
		}
		who.List[to] = list
	}
	return who, nil
}

// listed makes a list of a claim: one value is a list of one.
func listed(name string, v any) ([]string, error) {
	items, ok := v.([]any)
	if !ok {
		if items = nil; v != nil {
			items = []any{v}
		}
	}
	if len(items) > maxListed {
		return nil, refused("the claim %q has %d values, more than the limit of %d", name, len(items), maxListed)
	}
	list := []string{}
	for _, item := range items {
		text, ok := scalar(item)
		if !ok || len(text) > maxMapped {
			return nil, refused("the claim %q is no list of texts, numbers and truth values of at most %d bytes each", name, maxMapped)
		}
		list = append(list, text)
	}
	return list, nil
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// at returns a claim by its name, or by a JSON pointer (RFC 6901).
func (c claims) at(name string) any {
	if v, there := c[name]; there || !strings.HasPrefix(name, "/") {
		return v
	}
	var v any = map[string]any(c)
	for _, step := range strings.Split(name[1:], "/") {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}
