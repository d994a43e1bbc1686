package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secretName matches fields whose names say that they hold what not everybody may see.
var secretName = regexp.MustCompile(`(?i)(secret|password|passwd|private|credential|token$|tokens$|jwt$|auth$|pemkey)`)

// notSecret are fields named so that are plain text, each with its reason.
var notSecret = map[string]string{
	"nomadish.Job.DispatchIdempotencyToken":      "a caller's own name for its request",
	"nomadish.OIDCClientAssertionKey.PemKeyFile": "a path",
	"nomadish.Plan.EvalToken":                    "names a delivery of the broker's, within the leader",
	"nomadish.QueryMeta.NextToken":               "names a page",
	"nomadish.SigningKey.Private":                "sealed with the root key",
	"nomadish/api.Meta.NextToken":                "names a page",
	"nomadish/api.Query.NextToken":               "names a page",
	"nomadish/httpapi.Query.NextToken":           "names a page",
	"nomadish/httpapi.Request.nextToken":         "names a page",
}

// secretHolders are the packages whose structs are sent, stored or configured.
var secretHolders = []string{"nomadish", "nomadish/api", "nomadish/agent", "nomadish/httpapi", "server/endpoint", "server/secrets", "client"}

// Every field that is named like a secret is of a type that does not print, or is listed
// with the reason why it may.
func TestSecretsDoNotPrint(t *testing.T) {
	found := map[string]bool{}
	for _, pkg := range secretHolders {
		for name, typ := range textFields(t, pkg) {
			if !secretName.MatchString(name[strings.LastIndexByte(name, '.')+1:]) {
				continue
			}
			found[name] = true
			if notSecret[name] == "" {
				t.Errorf("%s is a %s: make it a SecretText, or list it with a reason", name, typ)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(notSecret)) {
		if !found[name] {
			t.Errorf("%s is listed and not there", name)
		}
	}
}

// textFields lists the fields of a package's structs that hold text or bytes, as PACKAGE.TYPE.FIELD.
func textFields(t *testing.T, pkg string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	dir := filepath.Join("..", "..", pkg)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if typ, ok := s.(*ast.TypeSpec); ok {
					addTextFields(fields, pkg+"."+typ.Name.Name, typ.Type)
				}
			}
		}
	}
	return fields
}

func addTextFields(fields map[string]string, of string, typ ast.Expr) {
	s, ok := typ.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range s.Fields.List {
		if kind := textKind(f.Type); kind != "" {
			for _, n := range f.Names {
				fields[of+"."+n.Name] = kind
			}
		}
	}
}

// textKind names a type that holds plain text or bytes.
func textKind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if e.Name == "string" || e.Name == "byte" {
			return e.Name
		}
	case *ast.StarExpr:
		return textKind(e.X)
	case *ast.ArrayType:
		return textKind(e.Elt)
	case *ast.MapType:
		return textKind(e.Value)
	}
	return ""
}
