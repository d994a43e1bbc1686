package main

import (
	"fmt"
	"go/types"
)

func (e *emitter) decodeMethod(r *record) {
	e.p("// DecodeCodec reads x, which is zero before, from r.")
	e.p("func (x *%s) DecodeCodec(r *codec.Reader) error {", r.name)
	e.p("for r.More() {")
	e.p("switch key := r.Uint(); key {")
	for _, f := range r.fields {
		e.decodeField(f)
	}
	e.p("default:\nr.Skip(key)\n}\n}\nreturn r.Err()\n}\n")
}

// decodeField writes the case of one field. A field of another wire type than ours is
// skipped like an unknown one.
func (e *emitter) decodeField(f *field) {
	t, c := f.typ, classOf(f.typ)
	pointer := c == classPointer
	if pointer {
		t = elem(t)
		c = classOf(t)
	}
	target := "x." + f.name
	e.p("case %d: // %s", key(f.number, c), f.name)
	if wrapped(c) {
		e.p("if outer := r.Enter(); outer >= 0 {")
		defer e.p("r.Leave(outer)\n}")
	}
	switch {
	case pointer && c == classRecord:
		e.p("if r.Alloc(%d) {", size(t))
		e.p("%s = new(%s)", target, e.typ(t))
		e.p("r.Record(%s)\n}", target)
	case pointer:
		e.p("var v %s", e.typ(t))
		e.decodeValue(t, "v", 0)
		e.p("%s = &v", target)
	default:
		e.decodeValue(t, target, 0)
	}
}

// decodeValue writes the reading of one value into the variable target.
func (e *emitter) decodeValue(t types.Type, target string, depth int) {
	switch classOf(t) {
	case classBool:
		e.assign(t, target, "bool", "r.Bool()")
	case classInt:
		e.decodeInteger(t, target, "Int", "int64")
	case classUint:
		e.decodeInteger(t, target, "Uint", "uint64")
	case classFloat:
		e.assign(t, target, "float64", "r.Float()")
	case classString:
		e.assign(t, target, "string", "r.Str()")
	case classBytes:
		e.p("%s = r.Bytes()", target)
	case classTime:
		e.p("%s = r.Time()", target)
	case classAny:
		e.p("%s = r.Any()", target)
	case classAnyMap:
		e.p("%s = r.AnyMap()", target)
	case classRecord:
		e.p("r.Record(&%s)", target)
	case classPointer:
		e.p("if outer%d, ok := r.Present(%d); ok {", depth, size(elem(t)))
		e.p("%s = new(%s)", target, e.typ(elem(t)))
		e.p("r.Fields(outer%d, %s)\n}", depth, target)
	case classList:
		e.p("if n, ok := r.Count(%d); ok {", size(elem(t)))
		e.p("l%d := make(%s, n)", depth, e.typ(t))
		e.p("for i := 0; i < n && r.OK(); i++ {")
		e.decodeValue(elem(t), fmt.Sprintf("l%d[i]", depth), depth+1)
		e.p("}\n%s = l%d\n}", target, depth)
	case classMap:
		e.p("if n, ok := r.MapCount(%d); ok {", size(elem(t)))
		e.p("m%d := make(%s, n)", depth, e.typ(t))
		e.p(`for i, k := 0, ""; i < n && r.OK(); i++ {`)
		e.p("k = r.Key(i == 0, k)")
		e.p("var v%d %s", depth, e.typ(elem(t)))
		e.decodeValue(elem(t), fmt.Sprintf("v%d", depth), depth+1)
		e.p("m%d[k] = v%d\n}", depth, depth)
		e.p("%s = m%d\n}", target, depth)
	}
}

// assign writes an assignment, with a conversion where the types differ.
func (e *emitter) assign(t types.Type, target, from, expr string) {
	if b, ok := types.Unalias(t).(*types.Basic); !ok || b.Name() != from {
		expr = e.typ(t) + "(" + expr + ")"
	}
	e.p("%s = %s", target, expr)
}

func (e *emitter) decodeInteger(t types.Type, target, method, full string) {
	bits := size(t) * 8
	if bits == 64 {
		e.assign(t, target, full, "r."+method+"()")
		return
	}
	e.assign(t, target, full, fmt.Sprintf("r.%sBits(%d)", method, bits))
}
