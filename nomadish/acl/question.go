package acl

import (
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// ParsePermission reads a permission as people write it: "namespace:submit-job", or a
// capability of namespaces alone, "submit-job". Its error says what was probably meant.
func ParsePermission(text string) (nomadish.Permission, error) {
	full := text
	if !strings.Contains(text, ":") && text != string(nomadish.PermManagement) {
		full = aNamespace + ":" + text
	}
	p := nomadish.Permission(full)
	if _, known := permissions[p]; known || p == nomadish.PermManagement {
		return p, nil
	}
	var names []string
	for _, known := range Permissions() {
		names = append(names, strings.TrimPrefix(string(known), aNamespace+":"), string(known))
	}
	return "", nomadish.Errorf(nomadish.KindInvalid, "there is no permission %.100q%s", text, hint(text, slices.Compact(names)))
}

// Answer says whether a caller has a permission, and why.
func Answer(c nomadish.Caller, p nomadish.Permission, namespace, name string) *nomadish.AccessAnswer {
	out := &nomadish.AccessAnswer{
		Permission: p, Namespace: namespace, Name: name,
		Allowed: c.Check(p, namespace, name) == nil,
		Caller:  nomadish.AccessCaller{Kind: c.Kind.String(), ID: c.ID, Name: c.Name},
	}
	denier, _ := c.Rights.(interface {
		Denies(p nomadish.Permission, namespace, name string) bool
	})
	switch {
	case out.Allowed && c.Management() && c.ID == "":
		out.Reason = "there is no access control: everybody may do everything"
	case out.Allowed && c.Management():
		out.Reason = "the token is one of management"
	case out.Allowed:
		out.Reason = "its policies give it"
	case p == nomadish.PermManagement:
		out.Reason = "only tokens of management may do that"
	case c.Rights == nil:
		out.Reason = "who shows no token has no rights: there is no policy \"anonymous\""
	case denier != nil && denier.Denies(p, namespace, name):
		out.Reason = "a rule of its policies denies it"
	default:
		out.Reason = "no rule of its policies gives it"
	}
	return out
}
