package agent

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/nomadish/nomadish/jobspec/hcl1"
	"github.com/nomadish/nomadish/nomadish"
)

// Reloaded are the keys of configuration files whose new values take effect while an agent
// runs: the program sets the level of its logger and calls SetReplicationToken, and Reload reads the
// certificates that the tls block names again. Everything else needs a restart, which leaves tasks running.
func Reloaded() []string { return []string{"log_level", "acl.replication_token"} }

// SetReplicationToken has a server ask the authoritative region with another token from now on.
func (a *Agent) SetReplicationToken(token nomadish.SecretText) { a.replicationToken.Store(&token) }

// Reload reads again the files that the configuration names: the certificates of the tls
// block, for new connections and for the next request of each open one; sessions with agents that
// are not trusted any more end. After an error all stays as it was. It may be called at any time while the agent runs.
func (a *Agent) Reload() error {
	if a.tls != nil {
		if err := a.tls.Reload(); err != nil {
			return err
		}
	}
	return a.reloadPeerTLS()
}

// NeedRestart names the keys, of the top level, whose values differ between two
// configurations and take effect only when the agent starts again.
func NeedRestart(before, after *File) []string {
	changed := map[string]bool{}
	b, a := reflect.ValueOf(withoutToken(before)).Elem(), reflect.ValueOf(withoutToken(after)).Elem()
	for i := range b.NumField() {
		key, _, _ := strings.Cut(b.Type().Field(i).Tag.Get("hcl"), ",")
		if !slices.Contains(Reloaded(), key) && !sameValue(b.Field(i), a.Field(i)) {
			changed[key] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}

// withoutToken is a configuration without the part of a block that takes effect while an agent runs.
func withoutToken(f *File) *File {
	if f.ACL == nil {
		return f
	}
	next, acl := *f, *f.ACL
	acl.ReplicationToken = nil
	next.ACL = &acl
	return &next
}

// sameValue compares what configurations say, wherever it stands in the files.
func sameValue(b, a reflect.Value) bool {
	if body, ok := b.Interface().(hcl.Body); ok {
		other, _ := a.Interface().(hcl.Body)
		return reflect.DeepEqual(said(body), said(other))
	}
	switch b.Kind() {
	case reflect.Pointer:
		if b.IsNil() || a.IsNil() {
			return b.IsNil() && a.IsNil()
		}
		return sameValue(b.Elem(), a.Elem())
	case reflect.Struct:
		for i := range b.NumField() {
			if !sameValue(b.Field(i), a.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if b.Len() != a.Len() {
			return false
		}
		for i := range b.Len() {
			if !sameValue(b.Index(i), a.Index(i)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(b.Interface(), a.Interface())
}

// said is what a body says, without where.
func said(body hcl.Body) map[string]any {
	if b, ok := body.(*hcl1.Body); ok {
		return b.Values()
	}
	return nil
}
