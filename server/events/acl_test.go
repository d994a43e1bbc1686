package events_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/state"
)

// Changes of access control are told of by their keys, and no event holds a secret, a hash of
// one, or one that is sealed.
func TestAccessControl(t *testing.T) {
	w := newWorld(t, events.Config{}).run()
	from := w.index + 1
	sum := bytes.Repeat([]byte("h"), 32)
	for _, write := range []func(w *state.Writer) error{
		func(w *state.Writer) error { return w.PutACLPolicy(&nomadish.ACLPolicy{Name: "p"}) },
		func(w *state.Writer) error { return w.PutACLRole(&nomadish.ACLRole{ID: id(5), Name: "r"}) },
		func(w *state.Writer) error {
			return w.PutACLToken(&nomadish.ACLToken{
				AccessorID: id(6), SecretID: "canary", SecretHash: nomadish.KeyedHash{KeyID: id(9), Sum: sum}, Secret: nomadish.Sealed{Data: []byte("sealed")},
			})
		},
		func(w *state.Writer) error {
			return w.PutACLAuthMethod(&nomadish.ACLAuthMethod{
				Name: "m", Config: &nomadish.ACLAuthMethodConfig{}, Secrets: &nomadish.Sealed{Data: []byte("sealed")},
			})
		},
		func(w *state.Writer) error {
			return w.PutACLBindingRule(&nomadish.ACLBindingRule{ID: id(7), AuthMethod: "m"})
		},
		func(w *state.Writer) error { return w.DeleteACLToken(id(6)) },
		func(w *state.Writer) error { return w.DeleteACLRole(id(5)) },
		func(w *state.Writer) error { return w.DeleteACLPolicy("p") },
		func(w *state.Writer) error { return w.DeleteACLBindingRule(id(7)) },
		func(w *state.Writer) error { return w.DeleteACLAuthMethod("m") },
	} {
		w.write(write)
	}
	var got []string
	var text []byte
	for _, line := range w.read(&nomadish.EventRequest{Namespace: "*", Index: from}, 10) {
		for _, e := range line.Events {
			got = append(got, strings.Join(append([]string{e.Topic, e.Type, e.Key}, e.FilterKeys...), " "))
		}
		b, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	want := []string{
		"ACLPolicy ACLPolicyUpserted p",
		"ACLRole ACLRoleUpserted " + id(5) + " r",
		"ACLToken ACLTokenUpserted " + id(6),
		"ACLAuthMethod ACLAuthMethodUpserted m",
		"ACLBindingRule ACLBindingRuleUpserted " + id(7) + " m",
		"ACLToken ACLTokenDeleted " + id(6),
		"ACLRole ACLRoleDeleted " + id(5) + " r",
		"ACLPolicy ACLPolicyDeleted p",
		"ACLBindingRule ACLBindingRuleDeleted " + id(7) + " m",
		"ACLAuthMethod ACLAuthMethodDeleted m",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"canary", "sealed", "hhhh", "aGhoaG", "c2VhbGVk"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%q shows in %s", secret, text)
		}
	}
}
