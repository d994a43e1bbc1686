package jobspec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// block is a block of the file, or one that a dynamic block made.
type block struct {
	*hcl.Block
	ctx *hcl.EvalContext // what its expressions may use
}

// content is the content of a body with its dynamic blocks expanded.
type content struct {
	attrs  []*hcl.Attribute // as they stand in the file
	blocks []block
	end    hcl.Range // where a missing item would be added
}

// dynamicHeader is the block that stands for others: dynamic "type" {…}.
var dynamicHeader = hcl.BlockHeaderSchema{Type: "dynamic", LabelNames: []string{"type"}}

// content reads a body that has to fit a schema.
func (d *decoder) content(body hcl.Body, schema *hcl.BodySchema, ctx *hcl.EvalContext) (content, hcl.Diagnostics) {
	raw, diags := body.Content(&hcl.BodySchema{
		Attributes: schema.Attributes,
		Blocks:     append(slices.Clip(schema.Blocks), dynamicHeader),
	})
	c := content{attrs: inOrder(raw.Attributes), end: body.MissingItemRange()}
	for _, b := range raw.Blocks {
		if b.Type != dynamicHeader.Type {
			c.blocks = append(c.blocks, block{b, ctx})
			continue
		}
		i := slices.IndexFunc(schema.Blocks, func(s hcl.BlockHeaderSchema) bool { return s.Type == b.Labels[0] })
		if i < 0 {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Unsupported block type",
				Detail:   fmt.Sprintf("Blocks of type %q are not expected here.", b.Labels[0]),
				Subject:  &b.LabelRanges[0],
			})
			continue
		}
		made, more := d.expand(b, len(schema.Blocks[i].LabelNames), ctx)
		diags = append(diags, more...)
		c.blocks = append(c.blocks, made...)
	}
	return c, diags
}

// inOrder returns attributes as they stand in the file.
func inOrder(attrs hcl.Attributes) []*hcl.Attribute {
	return slices.SortedFunc(maps.Values(attrs), func(a, b *hcl.Attribute) int {
		return cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte)
	})
}

var dynamicSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "for_each", Required: true},
		{Name: "iterator"},
		{Name: "labels"},
	},
	Blocks: []hcl.BlockHeaderSchema{{Type: "content"}},
}

// expand makes the blocks of a dynamic block. They have the given number of
// labels, or with a negative number as many as they like.
func (d *decoder) expand(b *hcl.Block, labels int, ctx *hcl.EvalContext) ([]block, hcl.Diagnostics) {
	spec, diags := b.Body.Content(dynamicSchema)
	if diags.HasErrors() {
		return nil, diags
	}
	if len(spec.Blocks) != 1 {
		return nil, diags.Append(wrongContent(b, spec))
	}
	iterator, diags := d.iteratorName(b, spec.Attributes["iterator"])
	if diags.HasErrors() {
		return nil, diags
	}
	labelExprs, diags := dynamicLabels(b, spec, labels)
	if diags.HasErrors() {
		return nil, diags
	}
	each, diags := d.forEach(spec.Attributes["for_each"].Expr, ctx)
	if diags.HasErrors() || !each.IsKnown() {
		return nil, diags
	}
	var made []block
	for it := each.ElementIterator(); it.Next(); {
		key, value := it.Element()
		child := ctx.NewChild()
		child.Variables = map[string]cty.Value{
			iterator: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value}),
		}
		names, ranges, more := d.labels(labelExprs, child)
		diags = append(diags, more...)
		if more.HasErrors() {
			return made, diags
		}
		made = append(made, block{ctx: child, Block: &hcl.Block{
			Type:        b.Labels[0],
			Labels:      names,
			Body:        spec.Blocks[0].Body,
			DefRange:    b.DefRange,
			TypeRange:   b.LabelRanges[0],
			LabelRanges: ranges,
		}})
	}
	return made, diags
}

func wrongContent(b *hcl.Block, spec *hcl.BodyContent) *hcl.Diagnostic {
	if len(spec.Blocks) == 0 {
		return &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Missing dynamic content block",
			Detail:   `A dynamic block must have a nested block of type "content" to describe the body of each generated block.`,
			Subject:  b.Body.MissingItemRange().Ptr(),
		}
	}
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Extraneous dynamic content block",
		Detail:   "Only one nested content block is allowed for each dynamic block.",
		Subject:  &spec.Blocks[1].DefRange,
	}
}

func (d *decoder) iteratorName(b *hcl.Block, attr *hcl.Attribute) (string, hcl.Diagnostics) {
	if attr == nil {
		return b.Labels[0], nil
	}
	if diags := d.ev.word(attr.Expr); diags.HasErrors() {
		return "", diags
	}
	traversal, diags := hcl.AbsTraversalForExpr(attr.Expr)
	if diags.HasErrors() {
		return "", diags
	}
	if len(traversal) != 1 {
		return "", diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Invalid dynamic iterator name",
			Detail:   "Dynamic iterator must be a single variable name.",
			Subject:  traversal.SourceRange().Ptr(),
		})
	}
	return traversal.RootName(), diags
}

func dynamicLabels(b *hcl.Block, spec *hcl.BodyContent, want int) ([]hcl.Expression, hcl.Diagnostics) {
	attr := spec.Attributes["labels"]
	at := b.Body.MissingItemRange()
	var exprs []hcl.Expression
	if attr != nil {
		var diags hcl.Diagnostics
		if exprs, diags = hcl.ExprList(attr.Expr); diags.HasErrors() {
			return nil, diags
		}
		at = attr.Expr.Range()
	}
	summary := "Insufficient dynamic block labels"
	switch {
	case want < 0 || len(exprs) == want:
		return exprs, nil
	case len(exprs) > want:
		summary, at = "Extraneous dynamic block label", exprs[want].Range()
	}
	return nil, hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf("Blocks of type %q require %d label(s).", b.Labels[0], want),
		Subject:  &at,
	}}
}

func (d *decoder) forEach(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := d.ev.value(expr, ctx)
	if diags.HasErrors() {
		return v, diags
	}
	var detail string
	switch {
	case v.IsNull():
		detail = "Cannot use a null value in for_each."
	case v.Type() != cty.DynamicPseudoType && !v.CanIterateElements():
		detail = fmt.Sprintf("Cannot use a %s value in for_each. An iterable collection is required.", v.Type().FriendlyName())
	default:
		return v, diags
	}
	return v, diags.Append(&hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Invalid dynamic for_each value",
		Detail:   detail,
		Subject:  expr.Range().Ptr(),
	})
}

func (d *decoder) labels(exprs []hcl.Expression, ctx *hcl.EvalContext) ([]string, []hcl.Range, hcl.Diagnostics) {
	var names []string
	var ranges []hcl.Range
	for _, expr := range exprs {
		v, diags := d.ev.value(expr, ctx)
		if diags.HasErrors() {
			return nil, nil, diags
		}
		v, err := convert.Convert(v, cty.String)
		if err != nil || v.IsNull() || !v.IsKnown() {
			return nil, nil, diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid dynamic block label",
				Detail:   "Cannot use this value as a dynamic block label: a string is required.",
				Subject:  expr.Range().Ptr(),
			})
		}
		names = append(names, v.AsString())
		ranges = append(ranges, expr.Range())
	}
	return names, ranges, nil
}

// free reads a body without a schema: any arguments and any blocks.
func (d *decoder) free(body hcl.Body, ctx *hcl.EvalContext) (content, hcl.Diagnostics) {
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		attrs, diags := body.JustAttributes()
		return content{attrs: inOrder(attrs), end: body.MissingItemRange()}, diags
	}
	attrs := make(hcl.Attributes, len(native.Attributes))
	for name, attr := range native.Attributes {
		attrs[name] = attr.AsHCLAttribute()
	}
	c := content{attrs: inOrder(attrs), end: body.MissingItemRange()}
	var diags hcl.Diagnostics
	for _, b := range native.Blocks {
		if b.Type != dynamicHeader.Type || len(b.Labels) != 1 {
			c.blocks = append(c.blocks, block{b.AsHCLBlock(), ctx})
			continue
		}
		made, more := d.expand(b.AsHCLBlock(), -1, ctx)
		diags = append(diags, more...)
		c.blocks = append(c.blocks, made...)
	}
	return c, diags
}
