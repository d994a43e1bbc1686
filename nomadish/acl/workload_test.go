package acl_test

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
)

// What a workload may do: what is its own by its exact names, and what its policies add; never
// what they deny.
func TestWorkload(t *testing.T) {
	of := func(job string, rules ...string) nomadish.Rights {
		r := &nomadish.ResolvedCaller{
			Kind: nomadish.CallerWorkload, ID: "alloc", Name: "t", Workload: &nomadish.Workload{Namespace: "a", JobID: job, Group: "g", Task: "t"},
		}
		for _, src := range rules {
			r.Policies = append(r.Policies, &nomadish.ACLPolicy{Name: "p", Rules: src})
		}
		caller, err := (&acl.Compiler{}).Caller(r)
		if err != nil {
			t.Fatal(err)
		}
		return caller.Rights
	}
	const read, list, write, services, jobs = nomadish.PermVariablesRead, nomadish.PermVariablesList, nomadish.PermVariablesWrite, nomadish.PermReadServices, nomadish.PermReadJob
	for _, tt := range []struct {
		what       string
		rights     nomadish.Rights
		permission nomadish.Permission
		namespace  string
		path       string
		want       bool
	}{
		{"its task's variable", of("web"), read, "a", "nomad/jobs/web/g/t", true},
		{"its group's", of("web"), list, "a", "nomad/jobs/web/g", true},
		{"its job's", of("web"), read, "a", "nomad/jobs/web", true},
		{"that of all jobs", of("web"), read, "a", "nomad/jobs", true},
		{"another task's", of("web"), read, "a", "nomad/jobs/web/g/t2", false},
		{"below its task's", of("web"), read, "a", "nomad/jobs/web/g/t/x", false},
		{"a job's whose name begins the same", of("web"), read, "a", "nomad/jobs/web-admin", false},
		{"a job's whose name is the beginning", of("web-admin"), read, "a", "nomad/jobs/web", false},
		{"of a job with a star in its name", of("we*"), read, "a", "nomad/jobs/web", false},
		{"its own, with a star", of("we*"), read, "a", "nomad/jobs/we*", true},
		{"in another namespace", of("web"), read, "b", "nomad/jobs/web", false},
		{"any in its namespace, to be filtered", of("web"), list, "a", "", true},
		{"in any namespace, to be filtered", of("web"), list, "*", "", true},
		{"writing", of("web"), write, "a", "nomad/jobs/web", false},
		{"services", of("web"), services, "a", "", true},
		{"services elsewhere", of("web"), services, "b", "", false},
		{"jobs", of("web"), jobs, "a", "", false},
		{"jobs by a policy", of("web", `namespace "a" { policy = "read" }`), jobs, "a", "", true},
		{"its own beside a policy", of("web", `namespace "a" { policy = "read" }`), read, "a", "nomad/jobs/web", true},
		{"its own, but denied", of("web", `namespace "a" { variables { path "nomad/jobs/web" { capabilities = ["deny"] } } }`), read, "a", "nomad/jobs/web", false},
		{"another of its own", of("web", `namespace "a" { variables { path "nomad/jobs/web" { capabilities = ["deny"] } } }`), read, "a", "nomad/jobs/web/g", true},
		{"in a namespace that is denied", of("web", `namespace "*" { policy = "deny" }`), read, "a", "nomad/jobs/web", false},
	} {
		if got := tt.rights.Allows(tt.permission, tt.namespace, tt.path); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.what, got, tt.want)
		}
		if tt.rights.Management() {
			t.Errorf("%s: it is management", tt.what)
		}
	}
}

// A compiler sees that a policy has changed, and lets nobody in by one that can't be read.
func TestCompiler(t *testing.T) {
	c := &acl.Compiler{}
	ask := func(rules string) (bool, error) {
		caller, err := c.Caller(&nomadish.ResolvedCaller{
			Kind: nomadish.CallerToken, ID: "a", Policies: []*nomadish.ACLPolicy{{Name: "p", ModifyIndex: 7, Rules: rules}},
		})
		return err == nil && caller.Allows(nomadish.PermNodeRead, "", ""), err
	}
	for _, tt := range []struct {
		rules string
		want  bool
	}{{`node { policy = "read" }`, true}, {`node { policy = "deny" }`, false}, {"", false}, {`node { policy = "write" }`, true}} {
		if got, err := ask(tt.rules); got != tt.want || err != nil {
			t.Errorf("%s: got %t, %v", tt.rules, got, err)
		}
	}
	if got, err := ask("nodes {}"); got || err == nil {
		t.Errorf("unreadable: got %t, %v", got, err)
	}
}
