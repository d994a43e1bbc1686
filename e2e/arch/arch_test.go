// Package arch checks the shape of the code: who imports whom, how long files and functions
// are, that every package says what it is for, and which modules we depend on.
package arch

import (
	"bufio"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nomadish/nomadish/"

// Bounds of files and functions, in lines.
const (
	maxFile     = 800
	maxFunction = 100
)

// layers lists, for every package (or every package below a path with /...), what of ours it
// may import, the packages below included. Test files may import anything but the other side.
var layers = map[string][]string{
	"nomadish/codec":           {},
	"nomadish/codec/codecgen":  {},
	"nomadish/codec/codectest": {"nomadish/codec"},
	"nomadish":                 {"nomadish/codec"},
	"nomadish/discovery":       {},
	"nomadish/lifecycle":       {},
	"nomadish/certificate":     {"nomadish"},
	"nomadish/recovery":        {"nomadish"},
	"nomadish/transport":       {"nomadish", "nomadish/certificate"},
	"nomadish/acl":             {"nomadish", "jobspec/hcl1"},
	"nomadish/api":             {"nomadish", "nomadish/codec", "nomadish/socket"},
	"nomadish/socket":          {},
	"nomadish/audit":           {"nomadish"},
	"nomadish/snapshot":        {},
	"jobspec":                  {"nomadish"},
	"jobspec/hcl1":             {},
	"drivers":                  {"nomadish"},
	"drivers/cgroup":           {"drivers"},
	"drivers/output":           {"drivers"},
	"drivers/drivertest":       {"drivers", "drivers/output", "nomadish"},
	"drivers/drivertest/probe": {},
	"drivers/mock":             {"drivers", "drivers/output", "nomadish", "nomadish/lifecycle"},
	"drivers/function":         {"drivers"},
	"drivers/rawexec/...":      {"drivers", "drivers/cgroup", "drivers/output", "drivers/rawexec/...", "drivers/runtime/process", "drivers/runtime/trees", "nomadish"},
	"drivers/container/...":    {"drivers", "drivers/cgroup", "drivers/output", "drivers/drivertest", "drivers/runtime/...", "drivers/container/...", "nomadish"},
	"drivers/exec":             {"drivers", "drivers/container/...", "nomadish"},
	"drivers/java":             {"drivers", "drivers/container/...", "nomadish"},
	"drivers/qemu":             {"drivers", "drivers/container/...", "nomadish"},
	"drivers/images":           {"drivers", "drivers/container", "nomadish"},
	"drivers/docker":           {"drivers", "drivers/container", "drivers/images", "nomadish"},
	"drivers/runtime/...":      {"drivers", "drivers/cgroup", "drivers/output", "drivers/runtime/...", "nomadish"},

	"server/capacity":       {"nomadish"},
	"server/broker":         {"nomadish"},
	"server/gossip":         {"nomadish"},
	"server/bootstrap":      {"nomadish", "server/gossip"},
	"server/scheduler":      {"nomadish", "server/capacity"},
	"server/state":          {"nomadish", "nomadish/codec"},
	"server/events":         {"nomadish", "server/state"},
	"server/fsm":            {"nomadish", "nomadish/codec", "server/state"},
	"server/consensus/...":  {"nomadish", "nomadish/transport", "server/fsm", "server/state", "server/consensus/..."},
	"server/planner":        {"nomadish", "server/capacity", "server/fsm", "server/state"},
	"server/endpoint":       {"nomadish", "nomadish/acl", "nomadish/codec", "jobspec", "server/state", "server/fsm", "server/scheduler", "server/login"},
	"server/login":          {"nomadish"},
	"server/pki":            {"nomadish", "nomadish/certificate", "server/state", "server/fsm"},
	"server/secrets":        {"nomadish", "nomadish/lifecycle", "nomadish/recovery", "server/state", "server/fsm"},
	"server/leader/members": {"nomadish", "server/gossip", "server/consensus"},
	"server/leader/...":     {"nomadish", "nomadish/lifecycle", "server/state", "server/fsm", "server/broker", "server/capacity", "server/planner", "server/scheduler"},
	"server/servertest":     {"nomadish", "server/consensus/...", "server/fsm", "server/state"},
	"server/servertest/sim": {"nomadish", "server", "server/..."},
	"server":                {"nomadish", "nomadish/certificate", "nomadish/codec", "nomadish/lifecycle", "nomadish/recovery", "nomadish/snapshot", "nomadish/transport", "server/..."},

	"client/alloc":       {"nomadish", "nomadish/lifecycle", "drivers", "client/task", "client/task/hooks", "client/localstate", "client/network", "client/allocfs"},
	"client/task":        {"nomadish", "nomadish/lifecycle", "drivers", "client/localstate"},
	"client/artifact":    {"nomadish/lifecycle", "client/allocfs"},
	"client/task/hooks":  {"nomadish", "nomadish/lifecycle", "drivers", "drivers/cgroup", "drivers/output", "client/task", "client/artifact", "client/localstate", "client/network", "client/allocfs"},
	"client/localstate":  {"nomadish", "nomadish/codec", "drivers"},
	"client/network":     {"nomadish", "nomadish/lifecycle", "drivers"},
	"client/allocfs":     {"nomadish", "nomadish/lifecycle"},
	"client/fingerprint": {"nomadish", "drivers", "drivers/cgroup"},
	"client":             {"nomadish", "nomadish/api", "nomadish/lifecycle", "nomadish/transport", "drivers", "drivers/cgroup", "client/..."},

	"nomadish/httpapi":      {"nomadish", "nomadish/acl", "nomadish/audit", "nomadish/codec", "nomadish/socket", "nomadish/transport", "jobspec"},
	"nomadish/agent":        {"nomadish", "nomadish/acl", "nomadish/audit", "jobspec/hcl1", "nomadish/api", "nomadish/certificate", "nomadish/discovery", "nomadish/httpapi", "nomadish/lifecycle", "nomadish/recovery", "nomadish/snapshot", "nomadish/transport", "drivers", "server/...", "client/..."},
	"nomadish/cli":          {"nomadish", "nomadish/audit", "nomadish/discovery", "nomadish/snapshot", "nomadish/lifecycle", "nomadish/agent", "nomadish/api", "nomadish/certificate", "nomadish/nodesim", "nomadish/recovery", "nomadish/socket", "jobspec", "jobspec/hcl1", "drivers"},
	"nomadish/nodesim":      {"nomadish", "nomadish/api", "nomadish/lifecycle", "nomadish/transport", "client/fingerprint"},
	"nomadish/nomadishtest": {"nomadish", "nomadish/agent", "nomadish/api", "drivers"},
	"nomadish/cmd/nomadish": {"nomadish", "nomadish/discovery", "nomadish/lifecycle", "nomadish/agent", "nomadish/cli", "drivers", "drivers/..."},

	"examples/...": {"examples/..."},
	"e2e/...":      {"nomadish", "nomadish/api", "drivers", "drivers/runtime/process", "e2e/..."},
}

// goPackage is what of `go list -json` we look at.
type goPackage struct {
	ImportPath                                  string
	Dir                                         string
	Imports, TestImports, XTestImports, GoFiles []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// matches says whether a package is the one that a pattern of the table means.
func matches(pattern, pkg string) bool {
	tree, below := strings.CutSuffix(pattern, "/...")
	return pkg == tree || below && strings.HasPrefix(pkg, tree+"/")
}

// rule finds the most precise line of the table for a package.
func rule(pkg string) (allowed []string, ok bool) {
	best := -1
	for pattern, list := range layers {
		if matches(pattern, pkg) && len(pattern) > best {
			best, allowed, ok = len(pattern), list, true
		}
	}
	return allowed, ok
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range packages(t) {
		pkg, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		allowed, ok := rule(pkg)
		if !ok {
			t.Errorf("%s is not in the table of layers", pkg)
			continue
		}
		for _, imp := range p.Imports {
			imp, ours := strings.CutPrefix(imp, module)
			if ours && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, imp) }) {
				t.Errorf("%s imports %s, which the layers do not allow", pkg, imp)
			}
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			side := func(pkg, of string) bool { return strings.HasPrefix(strings.TrimPrefix(pkg, module), of) }
			if side(pkg, "server") && side(imp, "client") || side(pkg, "client") && side(imp, "server") {
				t.Errorf("tests of %s import %s: server and client meet in the agent alone", pkg, imp)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		found := slices.ContainsFunc(p.GoFiles, func(name string) bool {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			return f.Doc != nil
		})
		if !found {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestNamesSayWhatIsInside(t *testing.T) {
	for _, p := range packages(t) {
		switch name := path.Base(p.ImportPath); name {
		case "util", "utils", "common", "helper", "helpers", "shared", "interfaces", "base":
			t.Errorf("%s: %q names no noun", p.ImportPath, name)
		}
		if depth := strings.Count(strings.TrimPrefix(p.ImportPath, module), "/"); depth > 2 {
			t.Errorf("%s lies more than two levels below its top folder", p.ImportPath)
		}
	}
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	err := filepath.WalkDir(root(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			checkSizes(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkSizes(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if ast.IsGenerated(f) {
		return
	}
	if n := set.File(f.Pos()).LineCount(); n > maxFile {
		t.Errorf("%s has %d lines, more than %d", path, n, maxFile)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > maxFunction {
			t.Errorf("%s: %s has %d lines, more than %d", path, fn.Name.Name, n, maxFunction)
		}
	}
}

// The modules that we depend on directly are those of dependencies.txt, so that a new one
// is a line that somebody reviews.
func TestDirectDependenciesAreListed(t *testing.T) {
	want := map[string]bool{}
	list, err := os.Open("dependencies.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	for s := bufio.NewScanner(list); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
			want[strings.Fields(line)[0]] = true
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && !want[r.Path] {
			t.Errorf("%s is a direct dependency and not in dependencies.txt", r.Path)
		}
		if !r.Indirect {
			delete(want, r.Path)
		}
	}
	for path := range want {
		t.Errorf("%s is in dependencies.txt and no direct dependency", path)
	}
}
