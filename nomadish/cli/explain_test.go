package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
)

// TestExplainText: explain.json says what the comments of the job's types say.
func TestExplainText(t *testing.T) {
	src := readSource(t, "..")
	docs := map[string]typeDoc{}
	for name := range src.types {
		if slices.Contains(jobTypes(), name) {
			docs[name] = src.document(name)
		}
	}
	want, err := json.MarshalIndent(docs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("explain.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("explain.json"); err != nil || string(got) != string(want) {
		t.Errorf("explain.json is not what the comments say (%v): go test ./nomadish/cli -run %s -update", err, t.Name())
	}
}

// jobTypes lists the struct types that a job file can hold.
func jobTypes() []string {
	names := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		if t == nil || names[t.Name()] {
			return
		}
		names[t.Name()] = true
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("hcl") != "" {
				walk(structOf(t.Field(i).Type))
			}
		}
	}
	walk(reflect.TypeFor[nomadish.Job]())
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	return out
}

// source is what the files of a package say about types and constants.
type source struct {
	types  map[string]*ast.GenDecl
	consts []constGroup
	names  map[string]string // Go names that people know by another one
}

type constGroup struct {
	doc    string
	names  []string
	values []string
}

func readSource(t *testing.T, dir string) *source {
	t.Helper()
	s := &source{types: map[string]*ast.GenDecl{}, names: map[string]string{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				s.take(g)
			}
		}
	}
	return s
}

func (s *source) take(g *ast.GenDecl) {
	switch g.Tok {
	case token.TYPE:
		for _, spec := range g.Specs {
			s.types[spec.(*ast.TypeSpec).Name.Name] = g
		}
	case token.CONST:
		group := constGroup{doc: g.Doc.Text()}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if len(v.Values) != 1 {
				continue
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				group.names, group.values = append(group.names, v.Names[0].Name), append(group.values, text)
			}
		}
		s.consts = append(s.consts, group)
	}
}

// valuesOf returns the constants whose names begin with a prefix.
func (s *source) valuesOf(prefix string) (values []string) {
	for _, g := range s.consts {
		for i, name := range g.names {
			if strings.HasPrefix(name, prefix) {
				values = append(values, g.values[i])
			}
		}
	}
	return values
}

var constantsOf = regexp.MustCompile(`[Oo]ne of the (\w+) constants`)

// document says what is known of a type and its fields. A comment above fields speaks of those
// below it up to the next one; of a field that it does not stand above, a sentence speaks that
// names it, and so does one of the type's comment.
func (s *source) document(name string) typeDoc {
	g := s.types[name]
	fields := g.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List
	known := map[string]string{}
	for _, f := range fields {
		if tag := hclName(f); tag != "" && len(f.Names) > 0 {
			known[f.Names[0].Name] = tag
		}
	}
	typeText := flat(g.Doc.Text())
	out := typeDoc{Doc: s.plain(strings.TrimPrefix(typeText, name+" "), known), Fields: map[string]fieldDoc{}}
	out.Doc = strings.TrimPrefix(out.Doc, "is ")
	if out.Doc != "" {
		out.Doc = strings.ToUpper(out.Doc[:1]) + out.Doc[1:]
	}
	above := ""
	for _, f := range fields {
		if len(f.Names) == 0 {
			continue
		}
		field, text := f.Names[0].Name, flat(f.Doc.Text())
		switch {
		case text != "":
			above = text
		default:
			text = sentences(above+" "+typeText, field)
		}
		if more := flat(f.Comment.Text()); more != "" {
			text = strings.TrimSpace(text + " " + more)
		}
		if known[field] == "" {
			continue
		}
		doc := fieldDoc{Doc: s.plain(text, known)}
		if m := constantsOf.FindStringSubmatch(sentences(text, field) + " " + text); m != nil && (f.Doc != nil || strings.Contains(sentences(text, field), m[0])) {
			doc.Values = s.valuesOf(m[1])
		}
		for _, c := range s.consts {
			if strings.Contains(c.doc, "("+name+"."+field+")") {
				doc.Values = c.values
			}
		}
		if doc.Doc != "" || doc.Values != nil {
			out.Fields[field] = doc
		}
	}
	return out
}

// plain turns the Go names of a comment into those of job files.
func (s *source) plain(text string, known map[string]string) string {
	text = constantsOf.ReplaceAllStringFunc(text, func(m string) string {
		values := s.valuesOf(constantsOf.FindStringSubmatch(m)[1])
		if len(values) == 0 {
			return m
		}
		return "one of " + strings.Join(values, ", ")
	})
	text = regexp.MustCompile(` \((see \[[^)]*|[^)]*\bnil)\)`).ReplaceAllString(text, "")
	return regexp.MustCompile(`\[?\b[A-Z]\w+(\.[A-Z]\w+)?\b\]?`).ReplaceAllStringFunc(text, func(word string) string {
		if tag := known[word]; tag != "" {
			return tag
		}
		return word
	})
}

func hclName(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag, _ := strconv.Unquote(f.Tag.Value)
	name, _, _ := strings.Cut(reflect.StructTag(tag).Get("hcl"), ",")
	return name
}

func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// sentences returns the sentences, or parts of them between semicolons, that name a field.
func sentences(text, field string) string {
	word := regexp.MustCompile(`\b` + field + `\b`)
	var out []string
	for _, sentence := range regexp.MustCompile(`[^.;]+(?:\.\S[^.;]*)*[.;]?`).FindAllString(text, -1) {
		if word.MatchString(sentence) {
			out = append(out, strings.TrimSpace(sentence))
		}
	}
	return strings.TrimRight(strings.Join(out, " "), ";")
}

// TestExplainEverything: every place of a job file can be explained, and what a default is asked
// of never fails.
func TestExplainEverything(t *testing.T) {
	x := explainer{}
	if err := json.Unmarshal(explainText, &x.docs); err != nil {
		t.Fatal(err)
	}
	places := 0
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		places++
		e, err := x.explain(path)
		if err != nil {
			if !strings.HasSuffix(path, ".task.config") {
				t.Errorf("%s: %v", path, err)
			}
			return
		}
		for _, child := range e.Children {
			if depth < 9 {
				walk(child.Path, depth+1)
			}
		}
	}
	walk("job", 0)
	if places < 400 {
		t.Errorf("only %d places are known", places)
	}
}

func testSchemas() map[string]nomadish.ConfigSchema {
	return map[string]nomadish.ConfigSchema{"docker": {
		"ports": {Type: nomadish.ConfigStringList, Doc: "Labels."},
		"auth":  {Type: nomadish.ConfigBlock, Block: nomadish.ConfigSchema{"username": {Type: nomadish.ConfigString, Required: true}}},
	}}
}

// TestExplain: type, default, values, meaning and effect of what is asked for.
func TestExplain(t *testing.T) {
	x := explainer{driver: "docker", schemas: testSchemas()}
	if err := json.Unmarshal(explainText, &x.docs); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		want explanation
	}{
		{"job.type", explanation{Type: "string", Default: `"service"`, Values: []string{"service", "batch", "system", "sysbatch"}}},
		{"job.group.restart.attempts", explanation{Type: "number", Default: "2"}},
		{"job.group.task.kill_timeout", explanation{Type: "duration", Default: "5s"}},
		{"job.group.task.resources.memory", explanation{Type: "number", Default: "300"}},
		{"job.group.disconnect.reconcile", explanation{Type: "string", Default: `"best_score"`, Values: []string{"keep_original", "keep_replacement", "best_score", "longest_running"}}},
		{"job.group.task.config.auth.username", explanation{Type: "a string", Required: true}},
		{"job.multiregion.region", explanation{Type: "block", Labels: []string{"name"}, Repeated: true}},
	} {
		got, err := x.explain(tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		tt.want.Path, tt.want.Doc, tt.want.Effect, tt.want.Children, tt.want.isBlock = tt.path, got.Doc, got.Effect, got.Children, got.isBlock
		if diff := cmp.Diff(tt.want, *got, cmp.AllowUnexported(explanation{})); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
	}
	if e, err := x.explain("job.multiregion.region.count"); err != nil || e.Effect != agent.WithoutEffect("Multiregion") || e.Effect == "" {
		t.Errorf("what is below a block without effect has an effect: %+v, %v", e, err)
	}
	for path, want := range map[string]string{
		"group": "begin with job", "job.gruop": `did you mean "group"?`, "job.group.count.x": `job.group.count has no "x"`,
		"job.group.task.config.prots": `did you mean "ports"?`,
	} {
		if _, err := x.explain(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
