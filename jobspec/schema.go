package jobspec

import (
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// shape is what the hcl tags of a struct say about the block that it comes from.
type shape struct {
	labels []int // fields that take the labels, in order
	attrs  map[string]int
	blocks map[string]int
	schema *hcl.BodySchema
	native *hcl.BodySchema // schema with the maps that HCL may write as arguments
	extra  extras
}

// shapes remembers the shapes of types during one decoding.
type shapes map[reflect.Type]*shape

func (s shapes) of(t reflect.Type) *shape {
	if sh, ok := s[t]; ok {
		return sh
	}
	sh := newShape(t)
	s[t] = sh
	return sh
}

func newShape(t reflect.Type) *shape {
	sh := &shape{attrs: map[string]int{}, blocks: map[string]int{}, schema: &hcl.BodySchema{}, extra: extrasOf(t)}
	var maps []hcl.AttributeSchema
	for i := range t.NumField() {
		name, kind, tagged := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		ft := t.Field(i).Type
		switch {
		case kind == "label":
			sh.labels = append(sh.labels, i)
		case kind == "block":
			sh.blocks[name] = i
			sh.schema.Blocks = append(sh.schema.Blocks, hcl.BlockHeaderSchema{
				Type:       name,
				LabelNames: append(labelNames(ft), sh.extra.labels[name]...),
			})
			if isTextMap(ft) && (name == "env" || name == "meta") {
				maps = append(maps, hcl.AttributeSchema{Name: name})
			}
		case tagged || name != "":
			sh.attrs[name] = i
			sh.schema.Attributes = append(sh.schema.Attributes, hcl.AttributeSchema{
				Name:     name,
				Required: kind != "optional" && ft.Kind() != reflect.Pointer,
			})
		}
	}
	for _, name := range sh.extra.attrs {
		sh.schema.Attributes = append(sh.schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	for _, b := range sh.extra.blocks {
		sh.schema.Blocks = append(sh.schema.Blocks, hcl.BlockHeaderSchema{Type: b.name, LabelNames: labelNames(b.typ)})
	}
	sh.native = &hcl.BodySchema{Attributes: append(maps, sh.schema.Attributes...), Blocks: sh.schema.Blocks}
	return sh
}

// labelNames returns the names of the labels of a block that fills a field of
// type t, as the tags give them.
func labelNames(t reflect.Type) []string {
	t = element(t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		if name, kind, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ","); kind == "label" {
			names = append(names, name)
		}
	}
	return names
}

// element is the type of one block of a field: what a pointer, slice or map of
// structs is made of.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

func isTextMap(t reflect.Type) bool {
	return t.Kind() == reflect.Map && t.Elem().Kind() == reflect.String
}

var durationType = reflect.TypeFor[time.Duration]()
