package hcl1

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Body is what stands between braces, or in a file: an hcl.Body.
type Body struct {
	items []*item
	rng   hcl.Range // where it begins
	end   hcl.Range // where a missing item would be added
}

// Content returns what the schema names; anything else is an error.
func (b *Body) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content, rest, diags := b.partial(schema)
	for _, it := range rest.items {
		diags = diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError, Summary: "Unknown name", Subject: &it.keys[0].rng,
			Detail: fmt.Sprintf("%q is not known here.", it.keys[0].name),
		})
	}
	return content, diags
}

// PartialContent returns what the schema names, and the rest.
func (b *Body) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	return b.partial(schema)
}

func (b *Body) partial(schema *hcl.BodySchema) (*hcl.BodyContent, *Body, hcl.Diagnostics) {
	content := &hcl.BodyContent{Attributes: hcl.Attributes{}, MissingItemRange: b.end}
	rest := &Body{rng: b.rng, end: b.end}
	var diags hcl.Diagnostics
	attrs := map[string][]*item{}
	for _, it := range b.items {
		name := it.keys[0].name
		block := slices.IndexFunc(schema.Blocks, func(s hcl.BlockHeaderSchema) bool { return s.Type == name })
		switch {
		case block >= 0:
			made, wrong := blocks(schema.Blocks[block], it)
			content.Blocks = append(content.Blocks, made...)
			diags = diags.Extend(wrong)
		case slices.ContainsFunc(schema.Attributes, func(s hcl.AttributeSchema) bool { return s.Name == name }):
			attrs[name] = append(attrs[name], it)
		default:
			rest.items = append(rest.items, it)
		}
	}
	for _, s := range schema.Attributes {
		if all := attrs[s.Name]; len(all) > 0 {
			content.Attributes[s.Name] = attribute(all)
		} else if s.Required {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Missing value", Subject: &content.MissingItemRange,
				Detail: fmt.Sprintf("%q must be set.", s.Name),
			})
		}
	}
	return content, rest, diags
}

// blocks makes the blocks that an item means: one, or where it is a list or its labels are
// keys of objects, several.
func blocks(schema hcl.BlockHeaderSchema, it *item) (hcl.Blocks, hcl.Diagnostics) {
	outer := hcl.Block{Type: schema.Type, DefRange: it.keys[0].rng, TypeRange: it.keys[0].rng}
	return labelled(outer, it.keys[1:], it.val, schema.LabelNames)
}

// mayLack says that a block's last label may be missing: its name in the schema ends with "?".
func mayLack(names []string) bool {
	return len(names) > 0 && strings.HasSuffix(names[len(names)-1], "?")
}

func labelled(outer hcl.Block, keys []key, v *value, names []string) (hcl.Blocks, hcl.Diagnostics) {
	labels := len(names)
	b := outer
	for len(keys) > 0 && len(b.Labels) < labels {
		b.Labels = append(slices.Clip(b.Labels), keys[0].name)
		b.LabelRanges = append(slices.Clip(b.LabelRanges), keys[0].rng)
		keys = keys[1:]
	}
	wrong := func(rng hcl.Range, format string, args ...any) hcl.Diagnostics {
		return hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Invalid block", Subject: &rng, Detail: fmt.Sprintf(format, args...),
		}}
	}
	var all hcl.Blocks
	var diags hcl.Diagnostics
	add := func(keys []key, v *value) {
		made, wrong := labelled(b, keys, v, names)
		all, diags = append(all, made...), diags.Extend(wrong)
	}
	switch {
	case len(keys) > 0:
		return nil, wrong(keys[0].rng, "A block %q has no label %q.", b.Type, keys[0].name)
	case v.isList:
		for _, inner := range v.list {
			add(nil, inner)
		}
	case v.object == nil:
		if v.literal.IsNull() { // JSON's way of leaving it out
			return nil, nil
		}
		return nil, wrong(v.rng, "%q is a block: { is expected here.", b.Type)
	case len(b.Labels) < labels && len(v.object.items) == 0:
		return nil, wrong(v.rng, "A block %q wants a name before its {.", b.Type)
	case len(b.Labels) < labels && !(mayLack(names) && v.object.hasValues()):
		for _, it := range v.object.items {
			add(it.keys, it.val)
		}
	default:
		b.Body = v.object
		return hcl.Blocks{&b}, nil
	}
	return all, diags
}

// hasValues says that something in a body is no block, so that its names are no labels.
func (b *Body) hasValues() bool {
	return slices.ContainsFunc(b.items, func(it *item) bool {
		return it.val.object == nil && (!it.val.isList || !slices.ContainsFunc(it.val.list, func(v *value) bool { return v.object != nil }))
	})
}

// attribute is what items of one name say: maps are joined, of anything else the last counts.
func attribute(all []*item) *hcl.Attribute {
	last := all[len(all)-1]
	v := cty.NilVal
	for _, it := range all {
		v = join(v, it.value())
	}
	rng := hcl.RangeBetween(last.keys[0].rng, last.val.rng)
	return &hcl.Attribute{Name: last.keys[0].name, Expr: hcl.StaticExpr(v, last.val.rng), Range: rng, NameRange: last.keys[0].rng}
}

// join puts a map's values over an earlier one's.
func join(earlier, v cty.Value) cty.Value {
	if earlier == cty.NilVal || earlier.IsNull() || v.IsNull() || !earlier.Type().IsObjectType() || !v.Type().IsObjectType() {
		return v
	}
	m := earlier.AsValueMap()
	if m == nil {
		return v
	}
	for name, inner := range v.AsValueMap() {
		m[name] = inner
	}
	return cty.ObjectVal(m)
}

// value is what the item says as an attribute: further keys lead deeper.
func (it *item) value() cty.Value {
	v := it.val.value()
	if it.val.isList && len(it.val.list) > 0 && !slices.ContainsFunc(it.val.list, func(v *value) bool { return v.object == nil }) {
		v = cty.NilVal // a map that JSON writes as a list of maps
		for _, inner := range it.val.list {
			v = join(v, inner.value())
		}
	}
	for _, k := range slices.Backward(it.keys[1:]) {
		v = cty.ObjectVal(map[string]cty.Value{k.name: v})
	}
	return v
}

func (v *value) value() cty.Value {
	switch {
	case v.isList:
		all := make([]cty.Value, len(v.list))
		for i, inner := range v.list {
			all[i] = inner.value()
		}
		return cty.TupleVal(all)
	case v.object != nil:
		m := map[string]cty.Value{}
		for _, it := range v.object.items {
			name := it.keys[0].name
			m[name] = join(m[name], it.value())
		}
		return cty.ObjectVal(m)
	}
	return v.literal
}

// JustAttributes takes everything for attributes.
func (b *Body) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	byName := map[string][]*item{}
	for _, it := range b.items {
		byName[it.keys[0].name] = append(byName[it.keys[0].name], it)
	}
	attrs := hcl.Attributes{}
	for name, all := range byName {
		attrs[name] = attribute(all)
	}
	return attrs, nil
}

// MissingItemRange is where something that lacks would be added.
func (b *Body) MissingItemRange() hcl.Range { return b.end }

// Values returns what the body says without a schema: texts, float64s, bools, lists and maps.
// A block is a list with a map for each time that it stands.
func (b *Body) Values() map[string]any {
	out := map[string]any{}
	for _, it := range b.items {
		name := it.keys[0].name
		v := it.val.plain()
		for _, k := range slices.Backward(it.keys[1:]) {
			v = []any{map[string]any{k.name: v}}
		}
		if it.block {
			earlier, _ := out[name].([]any)
			if inner, ok := v.([]any); ok { // with a label
				v = inner[0]
			}
			v = append(earlier, v)
		}
		out[name] = v
	}
	return out
}

func (v *value) plain() any {
	switch {
	case v.isList:
		all := make([]any, len(v.list))
		for i, inner := range v.list {
			all[i] = inner.plain()
		}
		return all
	case v.object != nil:
		return v.object.Values()
	case v.literal.IsNull():
		return nil
	case v.literal.Type() == cty.Bool:
		return v.literal.True()
	case v.literal.Type() == cty.Number:
		f, _ := v.literal.AsBigFloat().Float64()
		return f
	}
	return v.literal.AsString()
}
