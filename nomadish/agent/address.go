package agent

import (
	"strings"

	"github.com/hashicorp/go-sockaddr/template"

	"github.com/nomadish/nomadish/nomadish"
)

// addresses reads addresses with spaces between them, which may be written as templates of
// package sockaddr, such as {{ GetPrivateIP }}: what of this machine they mean is looked up here.
func (r *reading) addresses(key string, text *string) []string {
	value := nomadish.Val(text)
	if strings.Contains(value, "{{") {
		found, err := template.Parse(value)
		if err != nil {
			r.fail("%s: %w", key, err)
			return nil
		}
		if strings.TrimSpace(found) == "" {
			r.fail("%s: %s: this machine has no such address", key, value)
		}
		value = found
	}
	return strings.Fields(value)
}

// address reads one address, empty where there is none.
func (r *reading) address(key string, text *string) string {
	switch found := r.addresses(key, text); len(found) {
	case 0:
		return ""
	case 1:
		return found[0]
	default:
		r.fail("%s: %s: there must be one, and %s are %d", key, *text, strings.Join(found, " "), len(found))
		return ""
	}
}
