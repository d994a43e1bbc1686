package nomadish_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// Durations are shown as text, and read as text or nanoseconds.
func TestTextDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"1h30m"`: 90 * time.Minute, `"1h30m0s"`: 90 * time.Minute, `""`: 0, `null`: 0, `60000000000`: time.Minute, `0`: 0, `"-1s"`: -time.Second,
	} {
		var got struct{ D nomadish.TextDuration }
		if err := nomadish.DecodeJSON([]byte(`{"D":`+text+`}`), &got); err != nil || time.Duration(got.D) != want {
			t.Errorf("%s: %v, %v; want %v", text, got.D, err, want)
		}
	}
	for _, text := range []string{`"1 hour"`, `1.5`, `true`, `{}`, `"9999999999h"`} {
		var got struct{ D nomadish.TextDuration }
		if err := nomadish.DecodeJSON([]byte(`{"D":`+text+`}`), &got); err == nil || nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%s: %v, error %v", text, got.D, err)
		}
	}
	for d, want := range map[nomadish.TextDuration]string{0: `""`, nomadish.TextDuration(90 * time.Second): `"1m30s"`} {
		if got, err := json.Marshal(d); err != nil || string(got) != want {
			t.Errorf("%v is written as %s, %v; want %s", time.Duration(d), got, err, want)
		}
	}
}

// A token's JSON is that of Nomad's API: what the state keeps of its secret is not in it, and
// can't be put into it.
func TestACLTokenJSON(t *testing.T) {
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	token := &nomadish.ACLToken{
		AccessorID: "a", SecretID: "s", Name: "n", Type: "client", Policies: []string{"p"}, Roles: []*nomadish.ACLTokenRoleLink{{ID: "i", Name: "r"}},
		CreateTime: expires.Add(-time.Hour), ExpirationTime: &expires, ExpirationTTL: nomadish.TextDuration(time.Hour),
		SecretHash: nomadish.KeyedHash{KeyID: "k", Sum: []byte("sum")}, Secret: nomadish.Sealed{KeyID: "k", Data: []byte("sealed")},
	}
	got, err := nomadish.EncodeJSON(token)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"AccessorID":"a","SecretID":"s","Name":"n","Type":"client","Policies":["p"],"Roles":[{"ID":"i","Name":"r"}],"Global":false,` +
		`"CreateTime":"2030-01-02T02:04:05Z","ExpirationTime":"2030-01-02T03:04:05Z","ExpirationTTL":"1h0m0s","CreateIndex":0,"ModifyIndex":0}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	var back nomadish.ACLToken
	if err := nomadish.DecodeJSON([]byte(`{"SecretHash":{"KeyID":"x"},"Secret":{"KeyID":"x"},"Name":"n"}`), &back); err != nil || back.SecretHash.KeyID != "" || back.Secret.KeyID != "" {
		t.Errorf("decoded %+v, %v", back, err)
	}
	for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v", *token), fmt.Sprintf("%#v", token.SecretID)} {
		if strings.Contains(text, `"s"`) || strings.Contains(text, " s ") || strings.Contains(text, "SecretID:s") {
			t.Errorf("the secret is printed: %s", text)
		}
	}
}

// Names, lengths and links have limits; each fault is named.
func TestACLValidate(t *testing.T) {
	many := make([]*nomadish.ACLRolePolicyLink, 1001)
	for i := range many {
		many[i] = &nomadish.ACLRolePolicyLink{Name: fmt.Sprint(i)}
	}
	links := []*nomadish.ACLRolePolicyLink{{Name: "p"}}
	for _, tt := range []struct {
		thing interface{ Validate() error }
		want  string // empty: nothing is wrong
	}{
		{&nomadish.ACLPolicy{Name: "a-B-9"}, ""},
		{&nomadish.ACLPolicy{}, "invalid name ''"},
		{&nomadish.ACLPolicy{Name: "a b"}, "invalid name 'a b'"},
		{&nomadish.ACLPolicy{Name: "../x"}, "invalid name"},
		{&nomadish.ACLPolicy{Name: strings.Repeat("x", 128)}, ""},
		{&nomadish.ACLPolicy{Name: strings.Repeat("x", 129)}, "1 to 128"},
		{&nomadish.ACLPolicy{Name: "a", Description: strings.Repeat("x", 257)}, "description longer than 256"},
		{&nomadish.ACLPolicy{Name: "a", Rules: strings.Repeat("x", 256<<10+1)}, "more than the limit of 262144"},
		{&nomadish.ACLPolicy{Name: "a", JobACL: &nomadish.JobACL{Namespace: "n", JobID: "j"}}, ""},
		{&nomadish.ACLPolicy{Name: "a", JobACL: &nomadish.JobACL{JobID: "j"}}, "namespace must be set"},
		{&nomadish.ACLPolicy{Name: "a", JobACL: &nomadish.JobACL{Namespace: "n"}}, "job ID must be set"},
		{&nomadish.ACLPolicy{Name: "a", JobACL: &nomadish.JobACL{Namespace: "n", JobID: "j", Task: "t"}}, "group must be set"},
		{&nomadish.ACLRole{Name: "a", Policies: links}, ""},
		{&nomadish.ACLRole{Name: "a"}, "at least one policy"},
		{&nomadish.ACLRole{Name: "a/b", Policies: links}, "invalid name"},
		{&nomadish.ACLRole{Name: "a", Policies: many}, "more than the limit of 1000"},
		{&nomadish.ACLRole{Name: "a", Policies: []*nomadish.ACLRolePolicyLink{{Name: "a/b"}}}, "invalid policy"},
	} {
		err := tt.thing.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || nomadish.KindOf(err) != nomadish.KindInvalid || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.80v: got %v, want %q", tt.thing, err, tt.want)
		}
	}
}

// Whom a policy for workloads is meant for: names match exactly, and what is left empty is any.
func TestJobACLMatches(t *testing.T) {
	type who struct{ namespace, job, group, task string }
	web := who{"default", "web", "g", "t"}
	for _, tt := range []struct {
		acl  *nomadish.JobACL
		who  who
		want bool
	}{
		{nil, web, false},
		{&nomadish.JobACL{Namespace: "default", JobID: "web"}, web, true},
		{&nomadish.JobACL{Namespace: "default", JobID: "web"}, who{"default", "web-admin", "g", "t"}, false},
		{&nomadish.JobACL{Namespace: "default", JobID: "web-admin"}, web, false},
		{&nomadish.JobACL{Namespace: "default", JobID: "w*"}, web, false},
		{&nomadish.JobACL{Namespace: "other", JobID: "web"}, web, false},
		{&nomadish.JobACL{Namespace: "default", JobID: "web", Group: "g"}, web, true},
		{&nomadish.JobACL{Namespace: "default", JobID: "web", Group: "h"}, web, false},
		{&nomadish.JobACL{Namespace: "default", JobID: "web", Group: "g", Task: "t"}, web, true},
		{&nomadish.JobACL{Namespace: "default", JobID: "web", Group: "g", Task: "u"}, web, false},
	} {
		if got := tt.acl.Matches(tt.who.namespace, tt.who.job, tt.who.group, tt.who.task); got != tt.want {
			t.Errorf("%+v matches %+v: %v, want %v", tt.acl, tt.who, got, tt.want)
		}
	}
}
