package cli

import (
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// Without access control everybody may do everything, and auth says that; what is no permission
// is told with what was probably meant.
func TestAuthWithoutAccessControl(t *testing.T) {
	c := newCluster(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"auth", "can-i", "submit-job"}, 0, "yes: there is no access control: everybody may do everything"},
		{[]string{"auth", "can-i", "-json", "node:write"}, 0, `"Permission": "node:write"`},
		{[]string{"auth", "can-i", "node:wrote"}, ExitFailed, `did you mean "node:write"?`},
		{[]string{"auth", "who-can", "submit-job"}, 0, "Everybody: there is no access control."},
		{[]string{"auth", "who-can", "-t", "{{.Open}}", "submit-job"}, 0, "true"},
	} {
		if got := c.run(t, tt.args...); got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.want) {
			t.Errorf("%v: got %+v, want %d %q", tt.args, got, tt.code, tt.want)
		}
	}
}

// who-can lists what gives something, and what denies it.
func TestWhoCanPage(t *testing.T) {
	p := &page{}
	holdersPage(p, &nomadish.AccessHolders{
		Anonymous: true, Truncated: true,
		Policies:  []nomadish.AccessPolicy{{Name: "readers"}, {Name: "deny", Denies: true}},
		Roles:     []nomadish.AccessRole{{ID: "r1", Name: "team", Policies: []string{"readers"}}},
		Tokens:    []nomadish.AccessToken{{AccessorID: "a1", Name: "ci", Type: "client", Policies: []string{"readers"}}},
		Workloads: []nomadish.AccessWorkloadRule{{Policy: "readers", JobACL: &nomadish.JobACL{Namespace: "default", JobID: "web", Group: "g"}}},
	})
	for _, want := range []string{
		"the policy \"anonymous\" gives it", "readers", "gives it", "denies it", "team", "r1", "ci", "a1", "client", "default/web/g", "There are more tokens than these.",
	} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("no %q in\n%s", want, p)
		}
	}
}
