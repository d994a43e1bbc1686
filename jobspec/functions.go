package jobspec

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// price tells what a call will cost beyond its arguments and its result, before
// it runs. It is for functions that do or make more than they are given.
type price func(args []cty.Value) (steps, bytes int, err error)

// entry is one function of the language.
type entry struct {
	function function.Function
	price    price
	unifies  bool // it looks for one type for all elements of its arguments
}

// functionTable returns the functions that expressions may call.
func (ev *evaluator) functionTable(cfg Config) map[string]function.Function {
	table := pureFunctions()
	maps.Copy(table, collectionFunctions())
	maps.Copy(table, textFunctions())
	maps.Copy(table, cryptoFunctions())
	maps.Copy(table, networkFunctions())
	maps.Copy(table, ev.fileFunctions(cfg))
	table["timestamp"] = entry{function: timestampFunction(cfg.Now)}
	out := make(map[string]function.Function, len(table)+3)
	for name, e := range table {
		out[name] = ev.priced(e)
	}
	// These take their arguments unevaluated, which are metered themselves.
	out["try"] = tryfunc.TryFunc
	out["can"] = tryfunc.CanFunc
	out["convert"] = typeexpr.ConvertFunc
	return out
}

// priced wraps a function so that its arguments, its price and its result are
// charged, the first two before it runs.
func (ev *evaluator) priced(e entry) function.Function {
	params := slices.Clone(e.function.Params())
	return function.New(&function.Spec{
		Params:   params,
		VarParam: e.function.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := ev.chargeCall(e, args); err != nil {
				return cty.NilType, err
			}
			return e.function.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := e.function.Call(args)
			if err != nil {
				return v, err
			}
			return v, ev.budget.charge(v)
		},
	})
}

func (ev *evaluator) chargeCall(e entry, args []cty.Value) error {
	for _, arg := range args {
		if err := ev.budget.charge(arg); err != nil {
			return err
		}
		if e.unifies {
			if err := ev.budget.chargeUnify(arg.Type()); err != nil {
				return err
			}
		}
		if !arg.IsWhollyKnown() {
			return nil
		}
	}
	if e.price == nil {
		return nil
	}
	steps, bytes, err := e.price(args)
	if err != nil {
		return err
	}
	return ev.budget.spend(steps, bytes)
}

// pureFunctions are those that make no more of their arguments than they get.
func pureFunctions() map[string]entry {
	plain := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,

		"chomp": stdlib.ChompFunc, "lower": stdlib.LowerFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc,
		"trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc,
		"upper": stdlib.UpperFunc,

		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "index": indexFunction,
		"keys": stdlib.KeysFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc, "range": stdlib.RangeFunc,
		"reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,
	}
	table := make(map[string]entry, len(plain))
	for name, f := range plain {
		table[name] = entry{function: f, unifies: name == "coalesce" || name == "coalescelist"}
	}
	for name, f := range map[string]function.Function{"strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc} {
		table[name] = entry{function: f, price: graphemes}
	}
	table["parseint"] = entry{function: stdlib.ParseIntFunc}
	table["csvdecode"] = entry{function: stdlib.CSVDecodeFunc, price: separators(",\n")}
	table["jsondecode"] = entry{function: stdlib.JSONDecodeFunc, price: separators(",:[{")}
	table["jsonencode"] = entry{function: stdlib.JSONEncodeFunc, price: escapes(6)}
	table["yamldecode"] = entry{function: ctyyaml.YAMLDecodeFunc, price: yamlPrice}
	table["yamlencode"] = entry{function: ctyyaml.YAMLEncodeFunc, price: escapes(8)}
	return table
}

// graphemes prices functions that split a text into characters as people see them.
func graphemes(args []cty.Value) (int, int, error) {
	return len(args[0].AsString()) / 8, 0, nil
}

// separators prices a decoder by what could begin a value in its text.
func separators(chars string) price {
	return func(args []cty.Value) (int, int, error) {
		text := args[0].AsString()
		if longNumber(text) {
			return 0, 0, errDigits
		}
		n := 0
		for _, c := range []byte(text) {
			if strings.IndexByte(chars, c) >= 0 {
				n++
			}
		}
		return 2 * n, 0, nil
	}
}

var yamlAlias = regexp.MustCompile(`[\s,:\[{-]\*\w`)

// yamlPrice is separators for YAML, where aliases of aliases repeat a value. With
// n of them the most that a value can be repeated is about 3 to the n/3.
func yamlPrice(args []cty.Value) (int, int, error) {
	text := args[0].AsString()
	steps, bytes, err := separators(",:[{-\n")(args)
	if err != nil || !strings.Contains(text, "&") {
		return steps, bytes, err
	}
	times := 1
	for range len(yamlAlias.FindAllStringIndex(text, 64)) / 3 {
		if times *= 3; times > maxSteps {
			return 0, 0, errSteps
		}
	}
	return times * (steps + 1), min(times, maxBytes) * len(text), nil
}

// escapes prices an encoder that may write a byte as up to n.
func escapes(n int) price {
	return func(args []cty.Value) (int, int, error) {
		return 0, n * size(args[0]), nil
	}
}

// size is the length of all text in a value that was charged before.
func size(v cty.Value) int {
	if v.IsNull() || !v.IsKnown() {
		return 0
	}
	if v.Type() == cty.String {
		return len(v.AsString())
	}
	n := 0
	if v.CanIterateElements() {
		for it := v.ElementIterator(); it.Next(); {
			key, elem := it.Element()
			n += size(elem) + 8
			if key.Type() == cty.String {
				n += len(key.AsString())
			}
		}
	}
	return n
}

// count is the number of elements of a collection, or 1.
func count(v cty.Value) int {
	if v.IsNull() || !v.IsKnown() || !v.CanIterateElements() {
		return 1
	}
	return v.LengthInt()
}

// collectionFunctions are those whose work or result is more than the sum of
// their arguments, and those that the library lacks.
func collectionFunctions() map[string]entry {
	return map[string]entry{
		"length":     {function: lengthFunction},
		"distinct":   {function: stdlib.DistinctFunc, price: func(args []cty.Value) (int, int, error) { n := count(args[0]); return n * n / 16, 0, nil }},
		"setproduct": {function: stdlib.SetProductFunc, price: productPrice},
		"sum":        {function: sumFunction},
		"tobool":     {function: stdlib.MakeToFunc(cty.Bool), unifies: true},
		"tolist":     {function: stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), unifies: true},
		"tomap":      {function: stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), unifies: true},
		"tonumber":   {function: stdlib.MakeToFunc(cty.Number), unifies: true},
		"toset":      {function: stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), unifies: true},
		"tostring":   {function: stdlib.MakeToFunc(cty.String), unifies: true},
	}
}

// productPrice charges for the product before it is made.
func productPrice(args []cty.Value) (int, int, error) {
	rows := 1
	for _, arg := range args {
		if rows *= max(count(arg), 1); rows > maxSteps {
			return 0, 0, errSteps
		}
	}
	bytes := 0
	for _, arg := range args {
		bytes += rows / max(count(arg), 1) * size(arg)
	}
	return rows * (len(args) + 1), bytes, nil
}

// lengthFunction is the library's length that also takes strings and objects.
var lengthFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		switch t := args[0].Type(); {
		case t == cty.String:
			return stdlib.Strlen(args[0])
		case t.IsObjectType():
			return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
		}
		return stdlib.Length(args[0])
	},
})

// indexFunction finds the index of a value in a list. With what is not in there
// it is the index operator, which job files use it for as well.
var indexFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if t := args[0].Type(); t.IsListType() || t.IsTupleType() {
			for it := args[0].ElementIterator(); it.Next(); {
				i, elem := it.Element()
				if elem.Type().Equals(args[1].Type()) && elem.RawEquals(args[1]) {
					return i, nil
				}
			}
		}
		v, diags := hcl.Index(args[0], args[1], nil)
		if diags.HasErrors() {
			return cty.NilVal, errors.New("the list does not have this value")
		}
		return v, nil
	},
})

var sumFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].CanIterateElements() || args[0].LengthInt() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "a list of numbers with at least one element is required")
		}
		total := cty.Zero
		for it := args[0].ElementIterator(); it.Next(); {
			_, elem := it.Element()
			n, err := convert.Convert(elem, cty.Number)
			if err != nil || n.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "all elements must be numbers")
			}
			total = total.Add(n)
		}
		return total, nil
	},
})
