package jobspec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is a variable that the job file declares.
type variable struct {
	name        string
	typ         cty.Type // cty.DynamicPseudoType: any
	defaults    *typeexpr.Defaults
	structured  bool      // values from text are expressions though typ is any
	value       cty.Value // cty.NilVal until it has one
	at          hcl.Range
	validations []validation
}

type validation struct {
	condition hcl.Expression
	message   string
}

var variableSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "description"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
}

var validationSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "condition", Required: true},
	{Name: "error_message", Required: true},
}}

// declare reads variables, their values and the locals, and from then on
// expressions may use var and local.
func (ev *evaluator) declare(cfg Config, r *root) hcl.Diagnostics {
	vars, diags := ev.variables(r)
	if diags.HasErrors() {
		return diags
	}
	// The environment is the weakest source and the command line the strongest.
	for _, prefix := range []string{"NOMAD_VAR_", "NOMADISH_VAR_"} {
		for _, env := range cfg.Envs {
			name, value, _ := strings.Cut(env, "=")
			if v := vars[strings.TrimPrefix(name, prefix)]; v != nil && strings.HasPrefix(name, prefix) {
				diags = append(diags, ev.assignText(v, value, "the environment variable "+name)...)
			}
		}
	}
	diags = append(diags, ev.variableFiles(cfg, vars)...)
	diags = append(diags, ev.variableOptions(cfg, vars)...)
	if diags.HasErrors() {
		return diags
	}
	return ev.define(vars, r.locals)
}

// variableOptions reads the values that were given as options.
func (ev *evaluator) variableOptions(cfg Config, vars map[string]*variable) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, arg := range cfg.Vars {
		name, value, ok := strings.Cut(arg, "=")
		switch v := vars[name]; {
		case !ok:
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid -var option",
				Detail:   fmt.Sprintf("The given -var option %q is not correctly specified. Must be a variable name and value separated by an equals sign, like -var key=value.", arg),
			})
		case v != nil:
			diags = append(diags, ev.assignText(v, value, "-var")...)
		case cfg.Strict:
			diags = diags.Append(undeclared(name, vars, nil))
		}
	}
	return diags
}

// define checks that each variable has a good value, and evaluates the locals.
func (ev *evaluator) define(vars map[string]*variable, locals hcl.Blocks) hcl.Diagnostics {
	var diags hcl.Diagnostics
	values := make(map[string]cty.Value, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		v := vars[name]
		if v.value == cty.NilVal {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  fmt.Sprintf("Unset variable %q", name),
				Detail:   "A used variable must be set or have a default value; see https://developer.hashicorp.com/nomad/docs/reference/hcl2/variables for details.",
			})
			continue
		}
		values[name] = v.value
	}
	ev.global = &hcl.EvalContext{
		Functions: ev.functions,
		Variables: map[string]cty.Value{"var": cty.ObjectVal(values), "local": cty.EmptyObjectVal},
	}
	if diags.HasErrors() {
		return diags
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		diags = append(diags, ev.validate(vars[name])...)
	}
	if diags.HasErrors() {
		return diags
	}
	return ev.locals(locals)
}

// variables reads the declarations.
func (ev *evaluator) variables(r *root) (map[string]*variable, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vars := make(map[string]*variable)
	add := func(v *variable, more hcl.Diagnostics) {
		diags = append(diags, more...)
		if vars[v.name] != nil {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Duplicate variable",
				Detail:   fmt.Sprintf("Duplicate %s variable definition found.", v.name),
			})
		}
		vars[v.name] = v
	}
	for _, b := range r.defaults {
		attrs, more := b.Body.JustAttributes()
		diags = append(diags, more...)
		for _, attr := range inOrder(attrs) {
			value, more := ev.constant(attr.Expr)
			add(&variable{name: attr.Name, typ: value.Type(), value: value, at: attr.Range}, more)
		}
	}
	for _, b := range r.variables {
		add(ev.variable(b))
	}
	return vars, diags
}

func (ev *evaluator) variable(b *hcl.Block) (*variable, hcl.Diagnostics) {
	v := &variable{name: b.Labels[0], typ: cty.DynamicPseudoType, value: cty.NilVal, at: b.DefRange}
	content, diags := b.Body.Content(variableSchema)
	if !hclsyntax.ValidIdentifier(v.name) {
		diags = diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Invalid variable name",
			Detail:   "The name of a variable must start with a letter or underscore and may contain only letters, digits, underscores, and dashes.",
			Subject:  &b.LabelRanges[0],
		})
	}
	if attr := content.Attributes["type"]; attr != nil {
		diags = append(diags, ev.variableType(v, attr.Expr)...)
	}
	if attr := content.Attributes["default"]; attr != nil {
		value, more := ev.constant(attr.Expr)
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, ev.assign(v, value, "Invalid default value for variable", attr.Expr.Range())...)
			v.infer()
		}
	}
	for _, inner := range content.Blocks {
		check, more := ev.validation(inner)
		diags = append(diags, more...)
		v.validations = append(v.validations, check)
	}
	return v, diags
}

// infer takes the type from the default where the file gives none. A structure
// only says that values from text are expressions; theirs may have other parts.
func (v *variable) infer() {
	if v.typ != cty.DynamicPseudoType || v.value == cty.NilVal || v.value.IsNull() {
		return
	}
	if v.value.Type().IsPrimitiveType() {
		v.typ = v.value.Type()
	} else {
		v.structured = true
	}
}

func (ev *evaluator) variableType(v *variable, expr hcl.Expression) hcl.Diagnostics {
	if diags := ev.word(expr); diags.HasErrors() {
		return diags
	}
	typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(expr)
	if !diags.HasErrors() {
		v.typ, v.defaults = typ, defaults
	}
	return diags
}

func (ev *evaluator) validation(b *hcl.Block) (validation, hcl.Diagnostics) {
	content, diags := b.Body.Content(validationSchema)
	if diags.HasErrors() {
		return validation{}, diags
	}
	message, diags := ev.constant(content.Attributes["error_message"].Expr)
	if diags.HasErrors() {
		return validation{}, diags
	}
	if message.IsNull() || !message.IsKnown() || message.Type() != cty.String || message.AsString() == "" {
		return validation{}, diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Invalid validation error message",
			Detail:   "The error message must be a string that is not empty.",
			Subject:  content.Attributes["error_message"].Expr.Range().Ptr(),
		})
	}
	return validation{content.Attributes["condition"].Expr, message.AsString()}, diags
}

// validate checks a variable's value against its validation blocks.
func (ev *evaluator) validate(v *variable) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, check := range v.validations {
		result, more := ev.value(check.condition, ev.global)
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		result, err := convert.Convert(result, cty.Bool)
		switch {
		case err != nil || result.IsNull() || !result.IsKnown():
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid validation condition",
				Detail:   "A validation condition must be either true or false.",
				Subject:  check.condition.Range().Ptr(),
			})
		case result.False():
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid value for " + v.name + " variable",
				Detail:   fmt.Sprintf("%s\n\nThis was checked by the validation rule at %s.", check.message, check.condition.Range()),
				Subject:  &v.at,
			})
		}
	}
	return diags
}

// assign converts a value to a variable's type and sets it.
func (ev *evaluator) assign(v *variable, value cty.Value, fault string, at hcl.Range) hcl.Diagnostics {
	if err := ev.budget.charge(value); err != nil {
		return hcl.Diagnostics{costDiagnostic(err, at)}
	}
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	err := ev.budget.chargeUnify(value.Type())
	converted := value
	if err == nil {
		converted, err = convert.Convert(value, v.typ)
	}
	if err == nil {
		err = ev.budget.charge(converted)
	}
	if err != nil {
		diag := &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  fault,
			Detail:   fmt.Sprintf("The value of variable %q is not compatible with the variable's type constraint: %s.", v.name, err),
		}
		if at.Filename != "" {
			diag.Subject = &at
		}
		return hcl.Diagnostics{diag}
	}
	v.value = converted
	return nil
}

// assignText sets a variable from the text of an option or environment
// variable: the string itself, or an expression where the type is a structure.
func (ev *evaluator) assignText(v *variable, text, from string) hcl.Diagnostics {
	if !utf8.ValidString(text) {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid character encoding", Detail: from + " is not encoded in UTF-8."}}
	}
	value := cty.StringVal(text)
	at := hcl.Range{Filename: fmt.Sprintf("<value for var.%s from %s>", v.name, from), Start: hcl.InitialPos, End: hcl.InitialPos}
	switch {
	case v.typ == cty.String, v.typ == cty.Number, v.typ == cty.DynamicPseudoType && !v.structured:
	default:
		src := []byte(text)
		ev.sources[at.Filename] = src
		if diags := scan(at.Filename, src, hcl.InitialPos, inFile); diags.HasErrors() {
			return diags
		}
		expr, diags := hclsyntax.ParseExpression(src, at.Filename, hcl.InitialPos)
		if diags.HasErrors() {
			return diags
		}
		if value, diags = ev.constant(expr); diags.HasErrors() {
			return diags
		}
	}
	return ev.assign(v, value, "Invalid value for variable", at)
}

// variableFiles reads the files with values.
func (ev *evaluator) variableFiles(cfg Config, vars map[string]*variable) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, path := range cfg.VarFiles {
		text, err := readFile(path)
		if err != nil {
			diags = diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Failed to read variables file", Detail: err.Error()})
			continue
		}
		diags = append(diags, ev.variableFile(path, text, cfg, vars)...)
	}
	if cfg.VarContent != "" {
		name := cfg.Path + ".vars"
		diags = append(diags, ev.variableFile(name, []byte(cfg.VarContent), cfg, vars)...)
	}
	return diags
}

func (ev *evaluator) variableFile(name string, text []byte, cfg Config, vars map[string]*variable) hcl.Diagnostics {
	body, diags := ev.sources.syntax(name, text)
	if diags.HasErrors() {
		return diags
	}
	attrs, diags := body.JustAttributes()
	for _, attr := range inOrder(attrs) {
		v := vars[attr.Name]
		if v == nil {
			if cfg.Strict {
				diags = diags.Append(undeclared(attr.Name, vars, &attr.NameRange))
			}
			continue
		}
		value, more := ev.constant(attr.Expr)
		diags = append(diags, more...)
		if !more.HasErrors() {
			diags = append(diags, ev.assign(v, value, "Invalid value for variable", attr.Expr.Range())...)
		}
	}
	return diags
}

// undeclared tells of a value for a variable that the job file doesn't have.
func undeclared(name string, vars map[string]*variable, at *hcl.Range) *hcl.Diagnostic {
	diag := &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Undefined variable",
		Detail:   fmt.Sprintf("A %q variable was set but was not found in the job file. To declare it, add a variable %q block.", name, name),
		Subject:  at,
	}
	if near := nearest(name, slices.Sorted(maps.Keys(vars))); near != "" {
		diag.Extra = suggested(near)
	}
	return diag
}

// nearest returns the name that was probably meant, or "".
func nearest(name string, names []string) string {
	best, found := 3, ""
	for _, n := range names {
		if len(name)+len(n) > 200 {
			continue
		}
		if dist := levenshtein.Distance(name, n, nil); dist < best {
			best, found = dist, n
		}
	}
	return found
}
