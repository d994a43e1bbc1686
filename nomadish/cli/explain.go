package cli

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
)

func explainCommand() command {
	return command{
		words: "explain", args: "PATH", summary: "Tell what a block or an attribute of a job file means",
		help: `  PATH is where it stands in the file: job.group.network.port. Types, defaults and allowed
  values are those that the parser and the servers go by. What is below
  job.group.task.config is the driver's matter: name it with -driver.`,
		example: "  nomadish explain job.group.update\n  nomadish explain -driver docker job.group.task.config.ports",
		reads:   true,
		run:     runExplain,
	}
}

// explanation is what is known of a block or an attribute.
type explanation struct {
	Path     string
	Type     string
	Labels   []string      `json:",omitempty"` // of a block
	Required bool          `json:",omitempty"`
	Repeated bool          `json:",omitempty"` // a block that may be there more than once
	Default  string        `json:",omitempty"`
	Values   []string      `json:",omitempty"` // those that are allowed, where they are few
	Doc      string        `json:",omitempty"`
	Effect   string        `json:",omitempty"` // what it means that it is not acted on yet
	Children []explanation `json:",omitempty"`
	isBlock  bool
}

// typeDoc is what the comments of a type of the job say; see TestExplainText.
type typeDoc struct {
	Doc    string              `json:"doc,omitempty"`
	Fields map[string]fieldDoc `json:"fields,omitempty"`
}

type fieldDoc struct {
	Doc    string   `json:"doc,omitempty"`
	Values []string `json:"values,omitempty"`
}

// explainText holds the comments of the job's types by name, made of their source.
//
//go:embed explain.json
var explainText []byte

func runExplain(_ context.Context, c *call) error {
	driver := ""
	c.outputFlags()
	c.flags.StringVar(&driver, "driver", "", "`name` of the task driver whose config is asked for")
	if err := c.parse(0, 1); err != nil {
		return err
	}
	x := explainer{driver: driver}
	if c.Schemas != nil {
		x.schemas = c.Schemas()
	}
	if err := json.Unmarshal(explainText, &x.docs); err != nil {
		return fmt.Errorf("explain.json: %w", err)
	}
	path := "job"
	if len(c.args) == 1 {
		path = c.args[0]
	}
	e, err := x.explain(path)
	if err != nil {
		return err
	}
	return c.show(e, func(p *page) { explainPage(p, e) })
}

func explainPage(p *page, e *explanation) {
	p.line("%s  (%s)", e.Path, e.kind())
	if e.Doc != "" {
		p.line("")
		for _, line := range wrap(e.Doc, 78) {
			p.line("  %s", line)
		}
	}
	facts := [][2]string{{"Default", e.Default}, {"Values", strings.Join(e.Values, ", ")}}
	if e.Effect != "" {
		facts = append(facts, [2]string{"No effect yet", e.Effect})
	}
	if slices.ContainsFunc(facts, func(f [2]string) bool { return f[1] != "" }) {
		p.line("")
		p.fields(facts...)
	}
	for _, part := range []struct {
		title string
		block bool
	}{{"Attributes", false}, {"Blocks", true}} {
		var rows [][]string
		for _, child := range e.Children {
			if child.isBlock == part.block {
				rows = append(rows, []string{child.Path[strings.LastIndexByte(child.Path, '.')+1:], child.kind(), child.note()})
			}
		}
		if len(rows) > 0 {
			p.title("%s", part.title)
			p.table([]string{"Name", "Type", "Default and meaning"}, rows)
		}
	}
}

// kind is the type in words.
func (e *explanation) kind() string {
	words := e.Type
	for _, l := range e.Labels {
		words += fmt.Sprintf(" %q", l)
	}
	if e.Repeated {
		words += ", any number"
	}
	if e.Required {
		words += ", required"
	}
	return words
}

// note is what a list of children says of one.
func (e *explanation) note() string {
	text, _, _ := strings.Cut(e.Doc, ". ")
	text = strings.TrimSuffix(text, ".")
	if e.Default != "" {
		text = strings.TrimSuffix(e.Default+"; "+text, "; ")
	}
	if e.Effect != "" {
		text = strings.TrimPrefix(text+"; no effect yet", "; ")
	}
	return fit(text, 90)
}

// explainer walks the types of the job along the names of a job file.
type explainer struct {
	docs    map[string]typeDoc
	schemas map[string]nomadish.ConfigSchema
	driver  string
}

func (x *explainer) explain(path string) (*explanation, error) {
	names := strings.Split(path, ".")
	if names[0] != "job" {
		return nil, fmt.Errorf("%q does not begin with job, as in job.group.task", path)
	}
	at := place{path: "job", typ: reflect.TypeFor[nomadish.Job]()}
	for i, name := range names[1:] {
		if at.isConfig() {
			return x.explainConfig(at.path, names[1+i:])
		}
		next, ok := at.child(name)
		if !ok {
			return nil, fmt.Errorf("%s has no %q%s", at.path, name, didYouMean(name, at.names()))
		}
		at = next
	}
	if at.isConfig() {
		return x.explainConfig(at.path, nil)
	}
	e := x.describe(at)
	for _, name := range at.names() {
		child, _ := at.child(name)
		e.Children = append(e.Children, x.describe(child))
	}
	return &e, nil
}

// place is a block or an attribute in the types of the job.
type place struct {
	path   string
	typ    reflect.Type // of the block; nil for attributes
	field  reflect.StructField
	owner  reflect.Type
	fields []int // of the types on the way here
	goPath string
}

// child is what a name means in a block.
func (at place) child(name string) (place, bool) {
	if at.typ == nil {
		return place{}, false
	}
	for i := range at.typ.NumField() {
		f := at.typ.Field(i)
		if n, kind, tagged := strings.Cut(f.Tag.Get("hcl"), ","); n == name && name != "" && kind != "label" && (tagged || n != "") {
			next := place{
				path: at.path + "." + name, field: f, owner: at.typ, fields: append(slices.Clone(at.fields), i),
				goPath: strings.TrimPrefix(at.goPath+"."+f.Name, "."),
			}
			if kind == "block" {
				next.typ = structOf(f.Type)
			}
			return next, true
		}
	}
	return place{}, false
}

// names lists the attributes and blocks of a block.
func (at place) names() (names []string) {
	if at.typ == nil {
		return nil
	}
	for i := range at.typ.NumField() {
		name, kind, _ := strings.Cut(at.typ.Field(i).Tag.Get("hcl"), ",")
		if name != "" && kind != "label" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isConfig says that a driver decides what is below.
func (at place) isConfig() bool {
	return at.owner == reflect.TypeFor[nomadish.Task]() && at.field.Name == "Config"
}

// structOf is the struct that a field holds, by whatever way; nil: none.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func (x *explainer) describe(at place) explanation {
	e := explanation{Path: at.path, Type: "block"}
	if at.owner == nil {
		e.Doc, e.Labels, e.isBlock = x.docs["Job"].Doc, []string{"ID"}, true
		return e
	}
	doc := x.docs[at.owner.Name()].Fields[at.field.Name]
	_, kind, _ := strings.Cut(at.field.Tag.Get("hcl"), ",")
	e.Doc, e.Values, e.isBlock = doc.Doc, doc.Values, kind == "block"
	e.Effect = x.effect(at.goPath)
	if !e.isBlock {
		e.Type, e.Required = typeWords(at.field.Type), kind != "optional" && at.field.Type.Kind() != reflect.Pointer
		e.Default = defaultOf(at)
		return e
	}
	t := at.field.Type
	e.Repeated = t.Kind() == reflect.Slice || t.Kind() == reflect.Map && at.typ != nil
	if at.typ == nil {
		e.Type = "block of free names"
		return e
	}
	for i := range at.typ.NumField() {
		if name, kind, _ := strings.Cut(at.typ.Field(i).Tag.Get("hcl"), ","); kind == "label" {
			e.Labels = append(e.Labels, cmp.Or(name, strings.ToLower(at.typ.Field(i).Name)))
		}
	}
	e.Doc = strings.TrimSpace(e.Doc + "\n" + x.docs[at.typ.Name()].Doc)
	return e
}

// effect says what it means that a field, or one above it, is not acted on yet.
func (x *explainer) effect(path string) string {
	for path != "" {
		if text := agent.WithoutEffect(path); text != "" {
			return text
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return ""
}

// typeWords is a type as users of job files know it.
func typeWords(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.Slice:
		return "list of " + typeWords(t.Elem()) + "s"
	case t.Kind() == reflect.Map:
		return "map"
	case t.Kind() == reflect.Bool, t.Kind() == reflect.String:
		return t.Kind().String()
	case t.Kind() == reflect.Interface:
		return "any value"
	}
	return "number"
}

// explainConfig explains what a driver's config block holds.
func (x *explainer) explainConfig(path string, names []string) (*explanation, error) {
	known := slices.Sorted(maps.Keys(x.schemas))
	if x.driver == "" {
		return nil, fmt.Errorf("%s is the driver's matter: name it with -driver, one of %s", path, strings.Join(known, ", "))
	}
	schema, ok := x.schemas[x.driver]
	if !ok {
		return nil, fmt.Errorf("-driver: there is no driver %q among %s%s", x.driver, strings.Join(known, ", "), didYouMean(x.driver, known))
	}
	e := explanation{Path: path, Type: "block", isBlock: true, Doc: fmt.Sprintf("The options of driver %q.", x.driver)}
	for _, name := range names {
		attr, ok := schema[name]
		if !ok {
			return nil, fmt.Errorf("%s of driver %q has no %q%s", path, x.driver, name, didYouMean(name, slices.Collect(maps.Keys(schema))))
		}
		path += "." + name
		e, schema = explainAttribute(path, attr), attr.Block
	}
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		e.Children = append(e.Children, explainAttribute(path+"."+name, schema[name]))
	}
	return &e, nil
}

func explainAttribute(path string, a nomadish.ConfigAttribute) explanation {
	return explanation{
		Path: path, Type: a.Type.String(), Required: a.Required, Default: a.Default, Doc: a.Doc,
		isBlock: a.Type == nomadish.ConfigBlock || a.Type == nomadish.ConfigBlockList,
	}
}
