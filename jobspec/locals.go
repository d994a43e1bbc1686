package jobspec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// locals evaluates the locals in the order in which they need one another. One
// that needs itself sees an object without it, so the message is about that name.
func (ev *evaluator) locals(blocks hcl.Blocks) hcl.Diagnostics {
	var diags hcl.Diagnostics
	l := localValues{ev: ev, attrs: make(hcl.Attributes), values: make(map[string]cty.Value), state: make(map[string]localState)}
	for _, b := range blocks {
		attrs, more := b.Body.JustAttributes()
		diags = append(diags, more...)
		for name, attr := range attrs {
			if before, ok := l.attrs[name]; ok {
				diags = diags.Append(&hcl.Diagnostic{
					Severity: hcl.DiagError,
					Summary:  "Duplicate local",
					Detail:   fmt.Sprintf("The local %q was already defined at %s.", name, before.NameRange),
					Subject:  &attr.NameRange,
				})
				continue
			}
			l.attrs[name] = attr
		}
	}
	if diags.HasErrors() {
		return diags
	}
	for _, attr := range inOrder(l.attrs) {
		diags = append(diags, l.evaluate(attr, 0)...)
	}
	ev.global.Variables["local"] = cty.ObjectVal(l.values)
	return diags
}

type localState byte

const (
	localNew localState = iota
	localBusy
	localDone
)

type localValues struct {
	ev     *evaluator
	attrs  hcl.Attributes
	values map[string]cty.Value
	state  map[string]localState
}

func (l *localValues) evaluate(attr *hcl.Attribute, depth int) hcl.Diagnostics {
	if l.state[attr.Name] != localNew || depth > maxNesting {
		return nil
	}
	l.state[attr.Name] = localBusy
	var diags hcl.Diagnostics
	needs := l.needs(attr.Expr)
	for _, name := range needs {
		diags = append(diags, l.evaluate(l.attrs[name], depth+1)...)
	}
	l.state[attr.Name] = localDone
	if diags.HasErrors() {
		return diags
	}
	v, more := l.ev.value(attr.Expr, l.context(needs))
	if !more.HasErrors() {
		l.values[attr.Name] = v
	}
	return append(diags, more...)
}

// context is the global one with the needed locals that have a value.
func (l *localValues) context(needs []string) *hcl.EvalContext {
	values := make(map[string]cty.Value, len(needs))
	for _, name := range needs {
		if v, ok := l.values[name]; ok {
			values[name] = v
		}
	}
	return &hcl.EvalContext{
		Functions: l.ev.functions,
		Variables: map[string]cty.Value{"var": l.ev.global.Variables["var"], "local": cty.ObjectVal(values)},
	}
}

// needs returns the locals that an expression refers to.
func (l *localValues) needs(expr hcl.Expression) []string {
	found := make(map[string]bool)
	for _, traversal := range expr.Variables() {
		if traversal.RootName() != "local" {
			continue
		}
		if len(traversal) == 1 { // all of them, as in local[name]
			for name := range l.attrs {
				found[name] = true
			}
			break
		}
		switch step := traversal[1].(type) {
		case hcl.TraverseAttr:
			found[step.Name] = true
		case hcl.TraverseIndex:
			if step.Key.Type() == cty.String {
				found[step.Key.AsString()] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	return slices.DeleteFunc(names, func(name string) bool { return l.attrs[name] == nil })
}
