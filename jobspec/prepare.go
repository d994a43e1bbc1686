package jobspec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// preparer rewrites one expression in place; see evaluator.
type preparer struct {
	ev    *evaluator
	src   []byte           // text that the expression was parsed from
	base  int              // offset of src[0] in the ranges
	ctx   *hcl.EvalContext // what the file defines; nil where no names are allowed
	bound []string         // names that the for expressions around the node define
}

// prepare returns the expression to evaluate in place of e. It knows every node
// of the language that has children; one that it doesn't know has none.
func (p *preparer) prepare(e hclsyntax.Expression) hclsyntax.Expression {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return p.literal(e)
	case *hclsyntax.ScopeTraversalExpr:
		return p.reference(e)
	case *hclsyntax.ParenthesesExpr:
		e.Expression = p.prepare(e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		e.Wrapped = p.prepare(e.Wrapped)
	case *hclsyntax.RelativeTraversalExpr:
		e.Source = p.prepare(e.Source)
		return p.weigh(e, 1)
	case *hclsyntax.IndexExpr:
		e.Collection, e.Key = p.prepare(e.Collection), p.prepare(e.Key)
		return p.weigh(e, 1)
	case *hclsyntax.UnaryOpExpr:
		e.Val = p.prepare(e.Val)
		return p.weigh(e, 1)
	case *hclsyntax.BinaryOpExpr:
		e.LHS, e.RHS = p.prepare(e.LHS), p.prepare(e.RHS)
		return p.meter(e)
	case *hclsyntax.ConditionalExpr:
		e.Condition = p.prepare(e.Condition)
		e.TrueResult = unified{p.prepare(e.TrueResult), p.ev.budget}
		e.FalseResult = unified{p.prepare(e.FalseResult), p.ev.budget}
		return p.weigh(e, 2)
	case *hclsyntax.TupleConsExpr:
		p.all(e.Exprs)
		return p.weigh(e, len(e.Exprs))
	case *hclsyntax.ObjectConsExpr:
		p.items(e.Items)
		return p.weigh(e, 2*len(e.Items))
	case *hclsyntax.FunctionCallExpr:
		p.call(e)
		return p.weigh(e, len(e.Args))
	case *hclsyntax.ForExpr:
		p.loop(e)
	case *hclsyntax.SplatExpr:
		e.Source, e.Each = p.meter(p.prepare(e.Source)), p.prepare(e.Each)
	case *hclsyntax.TemplateExpr:
		p.all(e.Parts)
		return metered{Expression: e, budget: p.ev.budget, weight: len(e.Parts) * stepsNumber, charged: true}
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = p.prepare(e.Tuple)
		return p.meter(e)
	}
	return e
}

// meter charges for a node and all that it yields; it is for nodes whose values
// may be larger than what they are made of.
func (p *preparer) meter(e hclsyntax.Expression) hclsyntax.Expression {
	return metered{Expression: e, budget: p.ev.budget, weight: 1, charged: true}
}

// weigh charges for the work of a node: in a loop it is done many times.
func (p *preparer) weigh(e hclsyntax.Expression, weight int) hclsyntax.Expression {
	return metered{Expression: e, budget: p.ev.budget, weight: weight}
}

func (p *preparer) all(exprs []hclsyntax.Expression) {
	for i, e := range exprs {
		exprs[i] = p.prepare(e)
	}
}

func (p *preparer) literal(e *hclsyntax.LiteralValueExpr) hclsyntax.Expression {
	if e.Val.Type() == cty.Number && e.Val.IsKnown() && !e.Val.IsNull() {
		if err := checkNumber(e.Val.AsBigFloat()); err != nil {
			return failed{e, costDiagnostic(err, e.SrcRange)}
		}
	}
	return e
}

// reference keeps a reference to a name that the file defines, and replaces any
// other by its own text: it is for the client to interpolate, or for nobody.
func (p *preparer) reference(e *hclsyntax.ScopeTraversalExpr) hclsyntax.Expression {
	if p.ctx == nil || e.Traversal.IsRelative() || p.defines(e.Traversal.RootName()) {
		return p.meter(e)
	}
	from, to := e.SrcRange.Start.Byte-p.base, e.SrcRange.End.Byte-p.base
	text := e.Traversal.RootName()
	if 0 <= from && from <= to && to <= len(p.src) {
		text = strings.TrimSpace(string(p.src[from:to]))
	}
	return &hclsyntax.LiteralValueExpr{Val: cty.StringVal("${" + text + "}"), SrcRange: e.SrcRange}
}

func (p *preparer) defines(name string) bool {
	if slices.Contains(p.bound, name) {
		return true
	}
	for ctx := p.ctx; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[name]; ok {
			return true
		}
	}
	return false
}

// items prepares an object's items. A bare word as key is a name, no reference.
func (p *preparer) items(items []hclsyntax.ObjectConsItem) {
	for i, item := range items {
		items[i].ValueExpr = p.prepare(item.ValueExpr)
		key, ok := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr)
		if !ok {
			items[i].KeyExpr = p.prepare(item.KeyExpr)
			continue
		}
		if _, bare := key.Wrapped.(*hclsyntax.ScopeTraversalExpr); key.ForceNonLiteral || !bare {
			key.Wrapped = p.prepare(key.Wrapped)
		}
	}
}

// call prepares the arguments of a function; the second of convert is a type.
func (p *preparer) call(e *hclsyntax.FunctionCallExpr) {
	for i, arg := range e.Args {
		if e.Name == "convert" && i == 1 {
			continue
		}
		e.Args[i] = p.prepare(arg)
		if e.Name == "convert" {
			e.Args[i] = unified{e.Args[i], p.ev.budget}
		}
		if t := parameterType(p.ev.functions[e.Name], i); t.IsCollectionType() {
			e.Args[i] = collected{e.Args[i], p.ev.budget}
		}
	}
}

func parameterType(f function.Function, i int) cty.Type {
	if f == (function.Function{}) {
		return cty.DynamicPseudoType
	}
	if params := f.Params(); i < len(params) {
		return params[i].Type
	}
	if v := f.VarParam(); v != nil {
		return v.Type
	}
	return cty.DynamicPseudoType
}

func (p *preparer) loop(e *hclsyntax.ForExpr) {
	e.CollExpr = p.prepare(e.CollExpr)
	outer := p.bound
	p.bound = append(slices.Clip(p.bound), e.KeyVar, e.ValVar)
	if e.KeyExpr != nil {
		e.KeyExpr = p.meter(p.prepare(e.KeyExpr))
	}
	e.ValExpr = p.meter(p.prepare(e.ValExpr))
	if e.CondExpr != nil {
		e.CondExpr = p.meter(p.prepare(e.CondExpr))
	}
	p.bound = outer
}

// metered charges for each evaluation of an expression.
type metered struct {
	hclsyntax.Expression
	budget  *budget
	weight  int  // steps for the evaluation itself
	charged bool // whether the value is charged as well
}

func (m metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if err := m.budget.spend(m.weight, 0); err != nil {
		return cty.DynamicVal, hcl.Diagnostics{costDiagnostic(err, m.Range())}
	}
	v, diags := m.Expression.Value(ctx)
	if diags.HasErrors() {
		if err := m.budget.spend(stepsError, 0); err != nil { // a loop goes on after an error
			return cty.DynamicVal, hcl.Diagnostics{costDiagnostic(err, m.Range())}
		}
		return v, diags
	}
	if !m.charged {
		return v, diags
	}
	if err := m.budget.charge(v); err != nil {
		return cty.DynamicVal, diags.Append(costDiagnostic(err, m.Range()))
	}
	return v, diags
}

// unified charges for finding a type that the value has in common with another.
type unified struct {
	hclsyntax.Expression
	budget *budget
}

func (u unified) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := u.Expression.Value(ctx)
	if err := u.budget.chargeUnify(v.Type()); err != nil {
		return cty.DynamicVal, diags.Append(costDiagnostic(err, u.Range()))
	}
	return v, diags
}

// collected makes a list or map for a function that wants one.
type collected struct {
	hclsyntax.Expression
	budget *budget
}

func (c collected) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := c.Expression.Value(ctx)
	err := c.budget.charge(v)
	if v = collect(v); err == nil {
		err = c.budget.chargeUnify(v.Type())
	}
	if err != nil {
		return cty.DynamicVal, diags.Append(costDiagnostic(err, c.Range()))
	}
	return v, diags
}

// failed is an expression that can't be evaluated.
type failed struct {
	hclsyntax.Expression
	diag *hcl.Diagnostic
}

func (f failed) Value(*hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	return cty.DynamicVal, hcl.Diagnostics{f.diag}
}
