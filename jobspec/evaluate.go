package jobspec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// evaluator evaluates the expressions of one job file within one budget.
//
// Before an expression is evaluated the first time, it is prepared: references
// to names that the file does not define, such as ${NOMAD_PORT_http}, become
// their own source text, and the nodes that can multiply work or memory get a
// meter around them.
type evaluator struct {
	budget    *budget
	sources   sources
	functions map[string]function.Function
	global    *hcl.EvalContext // var and local
	prepared  map[hclsyntax.Expression]hclsyntax.Expression
}

func newEvaluator(cfg Config, src sources) *evaluator {
	ev := &evaluator{
		budget:   newBudget(),
		sources:  src,
		prepared: make(map[hclsyntax.Expression]hclsyntax.Expression),
	}
	ev.functions = ev.functionTable(cfg)
	return ev
}

// constant evaluates an expression that may use neither variables nor functions.
func (ev *evaluator) constant(expr hcl.Expression) (cty.Value, hcl.Diagnostics) {
	return ev.value(expr, nil)
}

// value evaluates an expression and charges for what comes out.
func (ev *evaluator) value(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := ev.evaluate(expr, ctx)
	if !diags.HasErrors() {
		if err := ev.budget.charge(v); err != nil {
			return cty.DynamicVal, diags.Append(costDiagnostic(err, expr.Range()))
		}
	}
	suggestNames(diags)
	return v, diags
}

// suggestNames adds the name that was probably meant to messages about an
// attribute that an object, such as var, does not have.
func suggestNames(diags hcl.Diagnostics) {
	for _, diag := range diags {
		traversal, ok := diag.Expression.(*hclsyntax.ScopeTraversalExpr)
		if !ok || diag.Extra != nil || len(traversal.Traversal) < 2 || diag.EvalContext == nil {
			continue
		}
		step, ok := traversal.Traversal[1].(hcl.TraverseAttr)
		if !ok {
			continue
		}
		object := lookupName(diag.EvalContext, traversal.Traversal.RootName())
		if object.Type().IsObjectType() && !object.Type().HasAttribute(step.Name) {
			if near := nearest(step.Name, slices.Sorted(maps.Keys(object.Type().AttributeTypes()))); near != "" {
				diag.Extra = suggested(near)
			}
		}
	}
}

func lookupName(ctx *hcl.EvalContext, name string) cty.Value {
	for ; ctx != nil; ctx = ctx.Parent() {
		if v, ok := ctx.Variables[name]; ok {
			return v
		}
	}
	return cty.DynamicVal
}

func (ev *evaluator) evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if native, ok := expr.(hclsyntax.Expression); ok {
		return ev.native(native, ctx)
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		return ev.object(pairs, ctx)
	}
	if exprs, diags := hcl.ExprList(expr); !diags.HasErrors() {
		return ev.tuple(exprs, ctx)
	}
	// What is left of JSON are scalars; without a context the text of a
	// string comes back as it is.
	v, diags := expr.Value(nil)
	if diags.HasErrors() || ctx == nil || v.IsNull() || v.Type() != cty.String {
		return v, diags
	}
	return ev.template(v.AsString(), expr.Range(), ctx)
}

func (ev *evaluator) native(expr hclsyntax.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	ready, ok := ev.prepared[expr]
	if !ok {
		p := preparer{ev: ev, src: ev.sources[expr.Range().Filename], ctx: ctx}
		ready = p.prepare(expr)
		ev.prepared[expr] = ready
	}
	return ready.Value(ctx)
}

// template evaluates a string of a JSON file, which is a template.
func (ev *evaluator) template(text string, at hcl.Range, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
		return cty.StringVal(text), nil
	}
	start := hcl.Pos{Line: at.Start.Line, Column: at.Start.Column + 1, Byte: at.Start.Byte + 1}
	return ev.parseTemplate(at.Filename, []byte(text), start, ctx)
}

func (ev *evaluator) parseTemplate(name string, text []byte, start hcl.Pos, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if diags := scan(name, text, start, inBare); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	expr, diags := hclsyntax.ParseTemplate(text, name, start)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	p := preparer{ev: ev, src: text, base: start.Byte, ctx: ctx}
	return p.prepare(expr).Value(ctx)
}

func (ev *evaluator) tuple(exprs []hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vals := make([]cty.Value, len(exprs))
	for i, e := range exprs {
		v, more := ev.evaluate(e, ctx)
		diags = append(diags, more...)
		vals[i] = v
	}
	return cty.TupleVal(vals), diags
}

func (ev *evaluator) object(pairs []hcl.KeyValuePair, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vals := make(map[string]cty.Value, len(pairs))
	for _, pair := range pairs {
		key, more := ev.evaluate(pair.Key, ctx)
		diags = append(diags, more...)
		v, more := ev.evaluate(pair.Value, ctx)
		diags = append(diags, more...)
		name, err := convert.Convert(key, cty.String)
		if err != nil || name.IsNull() || !name.IsKnown() {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid object key expression",
				Detail:   "Cannot use this expression as an object key.",
				Subject:  pair.Key.Range().Ptr(),
			})
			continue
		}
		if _, twice := vals[name.AsString()]; twice {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Duplicate object attribute",
				Detail:   fmt.Sprintf("An attribute named %q was already defined.", name.AsString()),
				Subject:  pair.Key.Range().Ptr(),
			})
			continue
		}
		vals[name.AsString()] = v
	}
	return cty.ObjectVal(vals), diags
}

// word checks the bounds of an expression that is used for its words and not
// for its value, such as a type: in a JSON file the library would parse it.
func (ev *evaluator) word(expr hcl.Expression) hcl.Diagnostics {
	if _, native := expr.(hclsyntax.Expression); native {
		return nil
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
		return diags
	}
	return scan(expr.Range().Filename, []byte(v.AsString()), expr.Range().Start, inFile)
}

// explain replaces what was found by the one thing that matters once the budget
// is used up: all that came after follows from it.
func (ev *evaluator) explain(diags hcl.Diagnostics) hcl.Diagnostics {
	if ev.budget.err == nil {
		return diags
	}
	because := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: costSummary, Detail: sentence(ev.budget.err)}
	for _, diag := range diags {
		if diag.Summary == costSummary {
			return hcl.Diagnostics{diag}
		}
		if because.Subject == nil {
			because.Subject = diag.Subject
		}
	}
	return hcl.Diagnostics{because}
}

const costSummary = "Expression too costly"

func costDiagnostic(err error, at hcl.Range) *hcl.Diagnostic {
	summary := costSummary
	if errors.Is(err, errRange) || errors.Is(err, errDigits) {
		summary = "Number out of range"
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: sentence(err), Subject: &at}
}
