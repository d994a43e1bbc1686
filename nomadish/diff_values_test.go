package nomadish

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

type diffPart struct {
	Name  string `diff:",key"`
	Value int
}

type diffWhole struct {
	Password string `secret:"true"`
	Hidden   string `diff:"-"`
	Meta     map[string]string
	Tags     []string
	Parts    []diffPart
	Loose    []*Constraint
	Free     map[string]any
	Quiet    *int `diff:",quiet"`
	MBits    *int `diff:",zero"`
	One      *diffPart
}

// diffLines writes a diff in lines: "+ field: new", "- field: old", "~ field: old>new" and
// "= field: value", blocks in braces.
func diffLines(b diffBody) string {
	var lines []string
	var object func(o *ObjectDiff) string
	mark := map[string]string{DiffAdded: "+", DiffDeleted: "-", DiffEdited: "~", DiffNone: "="}
	field := func(f *FieldDiff) string {
		text := f.New
		switch f.Type {
		case DiffDeleted:
			text = f.Old
		case DiffEdited:
			text = f.Old + ">" + f.New
		}
		return mark[f.Type] + f.Name + ":" + text
	}
	object = func(o *ObjectDiff) string {
		var in []string
		for _, f := range o.Fields {
			in = append(in, field(f))
		}
		for _, inner := range o.Objects {
			in = append(in, object(inner))
		}
		return mark[o.Type] + o.Name + "{" + strings.Join(in, " ") + "}"
	}
	for _, f := range b.fields {
		lines = append(lines, field(f))
	}
	for _, o := range b.objects {
		lines = append(lines, object(o))
	}
	return strings.Join(lines, " ")
}

// TestDiffRules: what of a struct is shown, by the kind and tag of its fields.
func TestDiffRules(t *testing.T) {
	for _, tt := range []struct {
		name      string
		old, next *diffWhole
		context   bool
		want      string
	}{
		{"secrets are not shown", &diffWhole{Password: "a"}, &diffWhole{Password: "b"}, false, "~Password:<redacted>><redacted>"},
		{"a new secret", &diffWhole{}, &diffWhole{Password: "b"}, false, "+Password:<redacted>"},
		{"what is left out", &diffWhole{Hidden: "a"}, &diffWhole{Hidden: "b"}, false, ""},
		{"values of maps", &diffWhole{Meta: map[string]string{"a": "1", "b": "2"}}, &diffWhole{Meta: map[string]string{"b": "3", "c": ""}}, false, "-Meta[a]:1 ~Meta[b]:2>3 +Meta[c]:"},
		{"lists are sets", &diffWhole{Tags: []string{"a", "b"}}, &diffWhole{Tags: []string{"c", "b"}}, false, "~Tags{+Tags:c -Tags:a =Tags:b}"},
		{"with doubles", &diffWhole{Tags: []string{"a"}}, &diffWhole{Tags: []string{"a", "a"}}, false, "~Tags{+Tags:a =Tags:a}"},
		{"in another order", &diffWhole{Tags: []string{"a", "b"}}, &diffWhole{Tags: []string{"b", "a"}}, false, "~Tags{~Tags:a>b ~Tags:b>a}"},
		{
			"blocks with a key", &diffWhole{Parts: []diffPart{{"a", 1}, {"b", 1}}}, &diffWhole{Parts: []diffPart{{"b", 2}, {"c", 1}}}, false,
			"+Part{+Name:c +Value:1} -Part{-Name:a -Value:1} ~Part{=Name:b ~Value:1>2}",
		},
		{
			"blocks without", &diffWhole{Loose: []*Constraint{{LTarget: "a"}}}, &diffWhole{Loose: []*Constraint{{LTarget: "b"}}}, false,
			"+Loose{+LTarget:b =Operand: =RTarget:} -Loose{-LTarget:a =Operand: =RTarget:}",
		},
		{
			"a registry's password is not shown", &diffWhole{Free: map[string]any{"auth": []any{map[string]any{"password": "a"}}}},
			&diffWhole{Free: map[string]any{"auth": []any{map[string]any{"password": "b"}}}}, false, "~Free{~auth[0][password]:<redacted>><redacted>}",
		},
		{
			"free maps are flat", &diffWhole{Free: map[string]any{"a": []any{"x", map[string]any{"b": true}}}},
			&diffWhole{Free: map[string]any{"a": []any{"x"}, "n": 1.5}}, false, "~Free{=a[0]:x -a[1][b]:true +n:1.5}",
		},
		{"quiet where it comes", nil, &diffWhole{Quiet: new(int)}, false, "+MBits:0"},
		{"quiet where it changes", &diffWhole{Quiet: new(int)}, &diffWhole{Quiet: Ptr(1)}, false, "~Quiet:0>1"},
		{"context", &diffWhole{Tags: []string{"a"}}, &diffWhole{Tags: []string{"a"}, One: &diffPart{"x", 1}}, true, "=MBits:0 =Password: =Tags{=Tags:a} +One{+Name:x +Value:1}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := differ{}.structs(reflect.ValueOf(tt.old), reflect.ValueOf(tt.next), tt.context)
			if text := diffLines(got); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
			if shows := len(got.fields)+len(got.objects) > 0; shows != got.changed && !tt.context {
				t.Errorf("changed %t, shows %t", got.changed, shows)
			}
		})
	}
}

// TestDiffOfMany: long lists are compared in time that grows with them, not with their square.
func TestDiffOfMany(t *testing.T) {
	old, next := &diffWhole{}, &diffWhole{}
	const n = 20_000
	for i := range n {
		old.Parts = append(old.Parts, diffPart{fmt.Sprint("p", i), i})
		next.Parts = append(next.Parts, diffPart{fmt.Sprint("p", n-i), i})
	}
	if got := (differ{}).structs(reflect.ValueOf(old), reflect.ValueOf(next), false); len(got.objects) < n {
		t.Errorf("%d blocks differ", len(got.objects))
	}
}
