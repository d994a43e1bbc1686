package jobspec

import (
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

// set evaluates an expression into a field. A null leaves the field alone, as
// if the argument were not there; then set reports false.
func (d *decoder) set(expr hcl.Expression, ctx *hcl.EvalContext, fv reflect.Value) (bool, hcl.Diagnostics) {
	v, diags := d.ev.value(expr, ctx)
	if v.IsNull() {
		return false, diags
	}
	if k := fv.Kind(); k == reflect.Slice || k == reflect.Map {
		v = collect(v)
	}
	if v.Type().IsTupleType() || v.Type().IsObjectType() {
		if err := d.ev.budget.chargeUnify(v.Type()); err != nil {
			return false, diags.Append(costDiagnostic(err, expr.Range()))
		}
	}
	var err error
	switch t := fv.Type(); {
	case t == durationType || t.Kind() == reflect.Pointer && t.Elem() == durationType:
		err = setDuration(fv, v)
	default:
		err = setValue(fv, v)
	}
	if err != nil {
		return false, diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Unsuitable value type",
			Detail:   "Unsuitable " + err.Error(),
			Subject:  expr.StartRange().Ptr(),
			Context:  expr.Range().Ptr(),
		})
	}
	return true, diags
}

func setValue(fv reflect.Value, v cty.Value) error {
	want, err := gocty.ImpliedType(fv.Addr().Interface())
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if v, err = convert.Convert(v, want); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if err := gocty.FromCtyValue(withoutNulls(v), fv.Addr().Interface()); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// withoutNulls leaves the null elements of a map out, as null means absent.
func withoutNulls(v cty.Value) cty.Value {
	if !v.IsKnown() || !v.Type().IsMapType() {
		return v
	}
	elems := v.AsValueMap()
	maps.DeleteFunc(elems, func(_ string, e cty.Value) bool { return e.IsNull() })
	if len(elems) == 0 {
		return cty.MapValEmpty(v.Type().ElementType())
	}
	return cty.MapVal(elems)
}

// setDuration takes a duration in Go's notation, or a number of nanoseconds.
func setDuration(fv reflect.Value, v cty.Value) error {
	var dur time.Duration
	switch {
	case !v.IsKnown():
		return fmt.Errorf("value: value must be known")
	case v.Type() == cty.String:
		parsed, err := time.ParseDuration(v.AsString())
		if err != nil {
			return fmt.Errorf("duration value: %w", err)
		}
		dur = parsed
	case v.Type() == cty.Number:
		n, accuracy := v.AsBigFloat().Int64()
		if accuracy != big.Exact {
			return fmt.Errorf("duration value: a number of nanoseconds must be whole and fit in 64 bits")
		}
		dur = time.Duration(n)
	default:
		return fmt.Errorf("value: expected a string but found %s", v.Type().FriendlyName())
	}
	if fv.Kind() == reflect.Pointer {
		fv.Set(reflect.ValueOf(&dur))
		return nil
	}
	fv.SetInt(int64(dur))
	return nil
}

// freeMap reads a block whose arguments are none of the language's business,
// such as the options of a driver. A block in it, and an argument that is an
// object, become a list of maps; labels become maps around it.
func (d *decoder) freeMap(b block, path string) (map[string]any, hcl.Diagnostics) {
	c, diags := d.free(b.Body, b.ctx)
	values := make(map[string]any, len(c.attrs)+len(c.blocks))
	for _, attr := range c.attrs {
		d.place(join(path, attr.Name), attr.Range)
		v, more := d.ev.value(attr.Expr, b.ctx)
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		native, err := plain(v)
		if err != nil {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Unsuitable value type",
				Detail:   "Unsuitable value: " + err.Error(),
				Subject:  attr.Expr.StartRange().Ptr(),
			})
			continue
		}
		if m, ok := native.(map[string]any); ok {
			native = []any{m}
		}
		values[attr.Name] = native
	}
	return values, append(diags, d.freeBlocks(c.blocks, values, path)...)
}

// freeBlocks adds the blocks in a free block to its values.
func (d *decoder) freeBlocks(blocks []block, values map[string]any, path string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	arguments := maps.Clone(values)
	count := make(map[string]int)
	for _, b := range blocks {
		if err := d.ev.budget.spend(1+len(b.Labels), 0); err != nil {
			return diags.Append(costDiagnostic(err, b.DefRange))
		}
		at := d.blockPath(path, b, count)
		d.place(at, b.DefRange)
		m, more := d.freeMap(b, at)
		diags = append(diags, more...)
		for _, label := range slices.Backward(b.Labels) {
			m = map[string]any{label: []any{m}}
		}
		if _, taken := arguments[b.Type]; taken {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Duplicate argument",
				Detail:   fmt.Sprintf("There is an argument %q as well as a block of that name.", b.Type),
				Subject:  &b.DefRange,
			})
			continue
		}
		before, _ := values[b.Type].([]any)
		values[b.Type] = append(before, m)
	}
	return diags
}

// plain makes a Go value of v with the types that JSON has; whole numbers are int64.
func plain(v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	if !v.IsKnown() {
		return nil, fmt.Errorf("value must be known")
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return plainNumber(v.AsBigFloat())
	case t.IsMapType() || t.IsObjectType():
		m := make(map[string]any, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			key, elem := it.Element()
			e, err := plain(elem)
			if err != nil {
				return nil, err
			}
			m[key.AsString()] = e
		}
		return m, nil
	case v.CanIterateElements():
		list := make([]any, 0, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			_, elem := it.Element()
			e, err := plain(elem)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return list, nil
	default:
		return nil, fmt.Errorf("a %s can't be used here", t.FriendlyName())
	}
}

func plainNumber(f *big.Float) (any, error) {
	if n, accuracy := f.Int64(); accuracy == big.Exact {
		return n, nil
	}
	x, _ := f.Float64()
	if x > 1e308 || x < -1e308 {
		return nil, errRange
	}
	return x, nil
}
