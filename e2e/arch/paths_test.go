package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allocating are the packages that work on directories of allocations, in which a task puts
// what it likes in the place of anything.
var allocating = []string{"client/alloc", "client/allocfs", "client/artifact", "client/task", "client/task/hooks", "drivers/output"}

// pathless are the functions of package os that follow no path of a task's.
var pathless = []string{"OpenRoot", "Geteuid", "Getpid", "LookupEnv", "NewFile", "NewSyscallError", "Pipe", "SameFile"}

// named are calls with paths in which no part is a task's, and why.
var named = map[string]string{
	"client/task/hooks/unmount_linux.go ReadFile": "/proc/self/mountinfo",
	"client/alloc/runner.go RemoveAll":            "the allocation's own directory, whose parent is the agent's; it follows no link",
	"client/task/hooks/directories.go MkdirAll":   "the allocation's own directory, whose parent is the agent's",
	"drivers/output/pipe_linux.go OpenFile":       "/dev/null",
}

// What is below an allocation's directory is reached through an os.Root, which nothing leads
// out of: no path that a task has a part in is given to package os itself. (SEC-A3)
func TestTasksPathsGoThroughRoots(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range allocating {
		files, err := filepath.Glob(filepath.Join(root(t), dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no files, %v", dir, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, call := range osCalls(t, path) {
				name := dir + "/" + filepath.Base(path) + " " + call
				if used[name] = true; named[name] == "" {
					t.Errorf("%s: use an os.Root, or list the call with the reason", name)
				}
			}
		}
	}
	for name := range named {
		if !used[name] {
			t.Errorf("%s is listed and not there", name)
		}
	}
}

// osCalls lists the functions of package os that a file calls with paths.
func osCalls(t *testing.T, path string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "os" && !slices.Contains(pathless, f.Sel.Name) {
			names = append(names, f.Sel.Name)
		}
		return true
	})
	return names
}
