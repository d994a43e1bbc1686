package main

import (
	"fmt"
	"go/types"
)

// class is how a type is encoded.
type class int

const (
	classInvalid class = iota
	classBool
	classInt
	classUint
	classFloat
	classString
	classBytes
	classTime
	classAny
	classAnyMap
	classList
	classMap
	classRecord
	classPointer
)

var basicClasses = map[types.BasicKind]class{
	types.Bool: classBool, types.String: classString,
	types.Int: classInt, types.Int8: classInt, types.Int16: classInt, types.Int32: classInt, types.Int64: classInt,
	types.Uint: classUint, types.Uint8: classUint, types.Uint16: classUint, types.Uint32: classUint, types.Uint64: classUint,
	types.Float64: classFloat, types.Float32: classFloat,
}

func classOf(t types.Type) class {
	t = types.Unalias(t)
	if n, ok := t.(*types.Named); ok {
		if n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "time" && n.Obj().Name() == "Time" {
			return classTime
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return basicClasses[u.Kind()]
	case *types.Interface:
		if u.Empty() {
			return classAny
		}
	case *types.Slice:
		if b, ok := types.Unalias(u.Elem()).(*types.Basic); ok && b.Kind() == types.Byte {
			return classBytes
		}
		return classList
	case *types.Map:
		if b, ok := types.Unalias(u.Key()).(*types.Basic); !ok || b.Kind() != types.String {
			return classInvalid
		}
		if classOf(u.Elem()) == classAny {
			return classAnyMap
		}
		return classMap
	case *types.Struct:
		if _, ok := t.(*types.Named); ok {
			return classRecord
		}
	case *types.Pointer:
		return classPointer
	}
	return classInvalid
}

// elem returns the element type of a list, map or pointer.
func elem(t types.Type) types.Type {
	return types.Unalias(t).Underlying().(interface{ Elem() types.Type }).Elem()
}

// shape names the encoding of a type. At the top, a pointer is encoded as what it points to.
func shape(t types.Type, top bool) (string, error) {
	c := classOf(t)
	switch c {
	case classBool:
		return "bool", nil
	case classInt:
		return "int", nil
	case classUint:
		return "uint", nil
	case classFloat:
		return "float", nil
	case classString:
		return "string", nil
	case classBytes:
		return "bytes", nil
	case classTime:
		return "time", nil
	case classAny:
		return "any", nil
	case classAnyMap:
		return "map(any)", nil
	case classRecord:
		return types.Unalias(t).(*types.Named).Obj().Name(), nil
	case classList, classMap:
		s, err := shape(elem(t), false)
		if c == classList {
			return "list(" + s + ")", err
		}
		return "map(" + s + ")", err
	case classPointer:
		s, err := shape(elem(t), false)
		switch {
		case err != nil:
			return "", err
		case top && classOf(elem(t)) != classPointer:
			return s, nil
		case classOf(elem(t)) == classRecord:
			return "*" + s, nil
		}
	}
	return "", fmt.Errorf("type %s has no encoding", t)
}
