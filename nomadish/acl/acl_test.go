package acl_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
)

func compile(t testing.TB, sources ...string) *acl.ACL {
	t.Helper()
	var all []*acl.Policy
	for _, src := range sources {
		p, err := acl.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return acl.Compile(all...)
}

// The rules that decide, each with the request that shows it.
func TestAllows(t *testing.T) {
	web := `namespace "web" { policy = "write" }`
	for _, tt := range []struct {
		rule       string
		policies   []string
		permission nomadish.Permission
		namespace  string
		name       string
		want       bool
	}{
		{"no policy gives nothing", nil, nomadish.PermListJobs, "default", "", false},
		{"an empty policy gives nothing", []string{""}, nomadish.PermListJobs, "default", "", false},
		{"a rule without capabilities gives nothing", []string{`namespace "a" { capabilities = [] }`}, nomadish.PermNamespaceAny, "a", "", false},
		{"an exact name", []string{web}, nomadish.PermSubmitJob, "web", "", true},
		{"a name is no beginning", []string{web}, nomadish.PermSubmitJob, "web-admin", "", false},
		{"a name is no end", []string{web}, nomadish.PermSubmitJob, "prod-web", "", false},
		{"letters count in their case", []string{web}, nomadish.PermSubmitJob, "Web", "", false},
		{"the empty namespace is none", []string{`namespace "*" { policy = "write" }`}, nomadish.PermSubmitJob, "", "", false},
		{"any namespace", []string{web}, nomadish.PermSubmitJob, "*", "", true},
		{"the nearest glob", []string{`namespace "*-web" { policy = "deny" } namespace "*" { policy = "write" }`}, nomadish.PermReadJob, "production-web", "", false},
		{"an exact name before globs", []string{`namespace "*" { policy = "deny" }`, web}, nomadish.PermReadJob, "web", "", true},
		{"only one rule decides", []string{`namespace "*" { policy = "write" } namespace "web" { policy = "read" }`}, nomadish.PermSubmitJob, "web", "", false},
		{"policies add up", []string{`namespace "a" { policy = "read" }`, `namespace "a" { capabilities = ["alloc-exec"] }`}, nomadish.PermAllocExec, "a", "", true},
		{"deny wins, first", []string{`namespace "a" { policy = "deny" }`, `namespace "a" { policy = "write" }`}, nomadish.PermReadJob, "a", "", false},
		{"deny wins, last", []string{`namespace "a" { policy = "write" }`, `namespace "a" { capabilities = ["deny"] }`}, nomadish.PermReadJob, "a", "", false},
		{"a namespace that is denied has no variables", []string{`namespace "a" { policy = "deny" variables { path "*" { capabilities = ["read"] } } }`}, nomadish.PermVariablesRead, "a", "x", false},
		{"without a name it is the default", []string{`namespace { policy = "read" }`}, nomadish.PermReadJob, "default", "", true},
		{"write does not exec on the node", []string{web}, nomadish.PermAllocNodeExec, "web", "", false},
		{"submit-job holds its parts", []string{`namespace "a" { capabilities = ["submit-job"] }`}, "namespace:purge-job", "a", "", true},
		{"a part does not hold the others", []string{`namespace "a" { capabilities = ["register-job"] }`}, nomadish.PermSubmitJob, "a", "", false},
		{"scale", []string{`namespace "a" { policy = "scale" }`}, nomadish.PermScaleJob, "a", "", true},
		{"scale reads no jobs", []string{`namespace "a" { policy = "scale" }`}, nomadish.PermReadJob, "a", "", false},
		{"an exact path", []string{`namespace "a" { variables { path "nomad/jobs/web" { capabilities = ["read"] } } }`}, nomadish.PermVariablesList, "a", "nomad/jobs/web", true},
		{"a path is no beginning", []string{`namespace "a" { variables { path "nomad/jobs/web" { capabilities = ["read"] } } }`}, nomadish.PermVariablesRead, "a", "nomad/jobs/web-admin", false},
		{"a glob stands also for nothing", []string{`namespace "a" { variables { path "system/*" { capabilities = ["read"] } } }`}, nomadish.PermVariablesRead, "a", "system/", true},
		{"but not for less", []string{`namespace "a" { variables { path "system/*" { capabilities = ["read"] } } }`}, nomadish.PermVariablesRead, "a", "system", false},
		{"write is not read", []string{`namespace "a" { variables { path "*" { capabilities = ["write"] } } }`}, nomadish.PermVariablesRead, "a", "x", false},
		{"variables are a capability on the namespace", []string{`namespace "a" { variables { path "*" { capabilities = ["list"] } } }`}, nomadish.PermNamespaceAny, "a", "", true},
		{"node", []string{`node { policy = "read" }`}, nomadish.PermNodeWrite, "", "", false},
		{"node, write", []string{`node { policy = "write" }`}, nomadish.PermNodeRead, "", "", true},
		{"node, denied", []string{`node { policy = "write" }`, `node { policy = "deny" }`}, nomadish.PermNodeRead, "", "", false},
		{"plugin", []string{`plugin { policy = "list" }`}, nomadish.PermPluginRead, "", "", false},
		{"pool", []string{`node_pool "gpu-*" { policy = "write" }`}, nomadish.PermNodePoolDelete, "", "gpu-1", true},
		{"another pool", []string{`node_pool "gpu-*" { policy = "write" }`}, nomadish.PermNodePoolRead, "", "default", false},
		{"any pool", []string{`node_pool "gpu-*" { policy = "read" }`}, nomadish.PermNodePoolRead, "", "", true},
		{"host volume", []string{`host_volume "prod-*" { policy = "deny" } host_volume "*" { policy = "write" } host_volume "prod-ca" { policy = "read" }`}, nomadish.PermMountReadOnly, "", "prod-ca", true},
		{"host volume, denied", []string{`host_volume "prod-*" { policy = "deny" } host_volume "*" { policy = "write" }`}, nomadish.PermMountReadWrite, "", "prod-db", false},
		{"operator", []string{`operator { capabilities = ["keyring-rotate"] }`}, nomadish.PermKeyringRotate, "", "", true},
		{"operator's write is not for keys", []string{`operator { policy = "write" }`}, nomadish.PermKeyringRotate, "", "", false},
		{"no policy is management", []string{`namespace "*" { policy = "write" } node { policy = "write" } agent { policy = "write" } operator { policy = "write" }`}, nomadish.PermManagement, "", "", false},
		{"JSON", []string{`{"namespace": {"web": {"policy": "read", "variables": {"path": {"a/*": {"capabilities": ["read"]}}}}}}`}, nomadish.PermVariablesRead, "web", "a/b", true},
		{"JSON, a namespace as a list", []string{`{"namespace": [{"web": [{"capabilities": ["read-job"]}]}]}`}, nomadish.PermReadJob, "web", "", true},
	} {
		if got := compile(t, tt.policies...).Allows(tt.permission, tt.namespace, tt.name); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.rule, got, tt.want)
		}
	}
}

// What is wrong with a policy is told with its place, and what was probably meant.
func TestFaults(t *testing.T) {
	for src, want := range map[string]string{
		`namespace "a" { policy = "raed" }`:                                    `line 1, column 26: policy "raed" is none of deny, read, scale, write: did you mean "read"?`,
		"namespace \"a\" {\n  capabilities = [\"submit-jobs\"]\n}":             `line 2, column 18: "submit-jobs" is no capability of a namespace rule: did you mean "submit-job"?`,
		`namespce "a" { policy = "read" }`:                                     `line 1, column 1: "namespce" is nothing that a policy has: did you mean "namespace"?`,
		`namespace "a" { polic = "read" }`:                                     `line 1, column 17: "polic" is nothing that a namespace rule has: did you mean "policy"?`,
		`node { capabilities = ["read"] }`:                                     `line 1, column 8: "capabilities" is nothing that a node rule has`,
		`node { policy = "read" } node { policy = "write" }`:                   `line 1, column 26: a policy has at most one node rule`,
		`node { policy = 1 }`:                                                  `policy is a text, such as "read"`,
		`namespace "a" { capabilities = "read-job" }`:                          `capabilities is a list of texts, such as ["read"]`,
		`namespace "a" { capabilities = [1] }`:                                 `capabilities is a list of texts`,
		`namespace "a" { }`:                                                    `line 1, column 1: this namespace rule says nothing: policy or capabilities or variables must be set`,
		`namespace "a b" { policy = "read" }`:                                  `a name has letters, digits, - _ . and the glob *, not " "`,
		`namespace "" { policy = "read" }`:                                     `the name of a namespace has 1 to 128 characters, this one has 0`,
		`namespace "` + strings.Repeat("a", 129) + `" { policy = "read" }`:     `1 to 128 characters, this one has 129`,
		`namespace "a" { variables { path "x" { } } }`:                         `capabilities must be set`,
		`namespace "a" { variables { } variables { } }`:                        `at most one variables block`,
		`namespace "a" { variables { path "x" { capabilities = ["raed"] } } }`: `"raed" is no capability of a variables rule: did you mean "read"?`,
		`namespace "a" { variables { path "x" { policy = "read" } } }`:         `"policy" is nothing that a path has`,
		`plugin { policy = "scale" }`:                                          `policy "scale" is none of deny, list, read, write`,
		`namespace "a" {`:                                                      `the file ends within a block`,
		`{"namespace": {"a": {"policy": "read"}}`:                              `policy: line 1`,
		`sentinel { policy = "read" }`:                                         `"sentinel" is nothing that a policy has`,
		strings.Repeat("#", acl.MaxSource+1):                                   `more than the limit of 262144`,
	} {
		_, err := acl.Parse(src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", src, err, want)
		}
		if kind := nomadish.KindOf(err); kind != nomadish.KindInvalid && kind != nomadish.KindTooLarge {
			t.Errorf("%.60s: kind %d", src, kind)
		}
	}
}

// Reading never panics, and what was read is compiled and asked. Namespaces that a policy does
// not name in some way have nothing.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/policies/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no corpus", err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := acl.Parse(src)
		if err != nil {
			return
		}
		a := acl.Compile(p)
		for _, permission := range acl.Permissions() {
			for _, namespace := range []string{"*", "", "default", "web"} {
				got := a.Allows(permission, namespace, "a/b")
				if got && (p.Empty() || a.Denies(permission, namespace, "a/b")) {
					t.Errorf("%s in %q is allowed", permission, namespace)
				}
			}
		}
		if !strings.Contains(src, "*") && a.Allows(nomadish.PermNamespaceAny, "nobody-names-this", "") && !strings.Contains(src, "nobody") && !strings.Contains(src, `\`) {
			t.Error("a namespace that no rule names")
		}
	})
}

// Every policy of the corpus is read.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/policies/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := acl.Parse(string(src)); err != nil || p.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Asking allocates nothing: it is done for every row of every list.
func TestAllowsAllocatesNothing(t *testing.T) {
	a := compile(t, `namespace "web-*" { policy = "read" variables { path "a/*" { capabilities = ["read"] } } } namespace "*" { policy = "read" } node { policy = "read" }`)
	allocs := testing.AllocsPerRun(100, func() {
		a.Allows(nomadish.PermReadJob, "web-shop", "")
		a.Allows(nomadish.PermVariablesRead, "web-shop", "a/b")
		a.Allows(nomadish.PermSubmitJob, "*", "")
		a.Allows(nomadish.PermNodeRead, "", "")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkAllows(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		var sources []string
		for i := range n {
			sources = append(sources, fmt.Sprintf(`namespace "team%d-*" { policy = "read" variables { path "team%d/*" { capabilities = ["read"] } } } namespace "team%d" { policy = "write" }`, i, i, i))
		}
		a := compile(b, append(sources, `namespace "*" { policy = "read" }`)...)
		for name, ask := range map[string]func() bool{
			"exact":    func() bool { return a.Allows(nomadish.PermSubmitJob, "team0", "") },
			"glob":     func() bool { return a.Allows(nomadish.PermReadJob, "team0-blue", "") },
			"furthest": func() bool { return a.Allows(nomadish.PermReadJob, "somebody-else", "") },
			"variable": func() bool { return a.Allows(nomadish.PermVariablesRead, "team0-blue", "team0/secret") },
		} {
			b.Run(fmt.Sprintf("policies=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !ask() {
						b.Fatal("not allowed")
					}
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	src, err := os.ReadFile("testdata/policies/everything.hcl")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p, err := acl.Parse(string(src))
		if err != nil {
			b.Fatal(err)
		}
		acl.Compile(p)
	}
}
