package jobspec

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// decoder fills the nouns from a file. What a block may hold it reads from the
// hcl tags of the struct; what the tags can't say is in language.go.
type decoder struct {
	ev        *evaluator
	shapes    shapes
	positions Positions
}

func newDecoder(ev *evaluator) *decoder {
	return &decoder{ev: ev, shapes: make(shapes), positions: make(Positions)}
}

// place notes where a part of the job stands. Of several with one name, as
// Nomad allows for some, the first keeps it.
func (d *decoder) place(path string, at hcl.Range) {
	if _, taken := d.positions[path]; !taken {
		d.positions[path] = at
	}
}

// structure fills the struct v from a block.
func (d *decoder) structure(b block, v reflect.Value, path string) hcl.Diagnostics {
	if err := d.ev.budget.spend(v.NumField(), 0); err != nil {
		return hcl.Diagnostics{costDiagnostic(err, b.DefRange)}
	}
	sh := d.shapes.of(v.Type())
	for i, field := range sh.labels {
		if i < len(b.Labels) {
			setText(v.Field(field), b.Labels[i])
		}
	}
	schema := sh.schema
	if _, ok := b.Body.(*hclsyntax.Body); ok {
		schema = sh.native
	}
	c, diags := d.content(b.Body, schema, b.ctx)
	given := &given{block: b, content: c, attrs: make(map[string]*hcl.Attribute), path: path}
	for _, attr := range c.attrs {
		d.place(join(path, attr.Name), attr.Range)
		if field, ok := sh.attrs[attr.Name]; ok {
			diags = append(diags, d.attribute(attr.Expr, b.ctx, v.Field(field))...)
		} else if field, ok := sh.blocks[attr.Name]; ok {
			diags = append(diags, d.attribute(attr.Expr, b.ctx, v.Field(field))...)
		}
		given.attrs[attr.Name] = attr
	}
	diags = append(diags, d.blocks(sh, c, v, given)...)
	if sh.extra.finish != nil {
		diags = append(diags, sh.extra.finish(d, given, v.Addr().Interface())...)
	}
	return diags
}

// blocks fills the fields that come from blocks, in the order of the file.
func (d *decoder) blocks(sh *shape, c content, v reflect.Value, g *given) hcl.Diagnostics {
	var diags hcl.Diagnostics
	first := make(map[string]hcl.Range, len(c.blocks))
	count := make(map[string]int, len(c.blocks))
	for _, b := range c.blocks {
		field, ok := sh.blocks[b.Type]
		if !ok {
			g.extra = append(g.extra, b)
			continue
		}
		fv := v.Field(field)
		before, again := first[b.Type]
		if attr, ok := g.attrs[b.Type]; ok {
			before, again = attr.Range, true
		}
		if again && !repeats(fv.Type()) {
			diags = diags.Append(duplicateBlock(b, before))
			continue
		}
		if !again {
			first[b.Type] = b.DefRange
		}
		path := d.blockPath(g.path, b, count)
		d.place(path, b.DefRange)
		diags = append(diags, d.block(b, fv, path)...)
	}
	return diags
}

// repeats reports whether a field takes more than one block: a slice, or a map
// of structs by their label.
func repeats(t reflect.Type) bool {
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Pointer
}

func duplicateBlock(b block, before hcl.Range) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  fmt.Sprintf("Duplicate %s block", b.Type),
		Detail:   fmt.Sprintf("Only one %s block is allowed. Another was defined at %s.", b.Type, before),
		Subject:  &b.DefRange,
	}
}

func (d *decoder) blockPath(parent string, b block, count map[string]int) string {
	path := join(parent, b.Type)
	if len(b.Labels) > 0 {
		for _, label := range b.Labels {
			path = join(path, label)
		}
		return path
	}
	n := count[b.Type]
	count[b.Type]++
	if n > 0 {
		return fmt.Sprintf("%s[%d]", path, n)
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// block fills a field from one block.
func (d *decoder) block(b block, fv reflect.Value, path string) hcl.Diagnostics {
	switch t := fv.Type(); t.Kind() {
	case reflect.Pointer:
		fv.Set(reflect.New(t.Elem()))
		return d.structure(b, fv.Elem(), path)
	case reflect.Slice:
		elem := reflect.New(element(t))
		diags := d.structure(b, elem.Elem(), path)
		if t.Elem().Kind() == reflect.Struct {
			elem = elem.Elem()
		}
		fv.Set(reflect.Append(fv, elem))
		return diags
	case reflect.Map:
		return d.mapBlock(b, fv, path)
	default:
		return d.structure(b, fv, path)
	}
}

func (d *decoder) mapBlock(b block, fv reflect.Value, path string) hcl.Diagnostics {
	t := fv.Type()
	if fv.IsNil() {
		fv.Set(reflect.MakeMap(t))
	}
	switch t.Elem().Kind() {
	case reflect.Pointer:
		elem := reflect.New(t.Elem().Elem())
		diags := d.structure(b, elem.Elem(), path)
		fv.SetMapIndex(reflect.ValueOf(b.Labels[0]), elem)
		return diags
	case reflect.Interface:
		values, diags := d.freeMap(b, path)
		fv.Set(reflect.ValueOf(values))
		return diags
	default:
		return d.uniformMap(b, fv, path)
	}
}

// uniformMap fills a map whose values all have one type from the arguments of a block.
func (d *decoder) uniformMap(b block, fv reflect.Value, path string) hcl.Diagnostics {
	attrs, diags := b.Body.JustAttributes()
	for _, attr := range inOrder(attrs) {
		d.place(join(path, attr.Name), attr.Range)
		elem := reflect.New(fv.Type().Elem()).Elem()
		set, more := d.set(attr.Expr, b.ctx, elem)
		diags = append(diags, more...)
		if set {
			fv.SetMapIndex(reflect.ValueOf(attr.Name), elem)
		}
	}
	return diags
}

func (d *decoder) attribute(expr hcl.Expression, ctx *hcl.EvalContext, fv reflect.Value) hcl.Diagnostics {
	_, diags := d.set(expr, ctx, fv)
	return diags
}

func setText(fv reflect.Value, s string) {
	if fv.Kind() == reflect.Pointer {
		fv.Set(reflect.ValueOf(&s))
		return
	}
	fv.SetString(s)
}
