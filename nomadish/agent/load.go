package agent

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// maxConfigFile bounds a configuration file's bytes.
const maxConfigFile = 1 << 20

// Load reads configuration files, and the .hcl and .json files of directories in the order of
// their names. What a later file sets wins; maps and lists of blocks are joined. An unknown
// key is an error with file and line; warnings name the keys that have no effect yet.
func Load(paths []string) (file *File, warnings []string, err error) {
	file = &File{}
	names, err := expand(paths)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		next, err := read(name)
		if err != nil {
			return nil, nil, err
		}
		for _, key := range withoutEffect(reflect.ValueOf(next).Elem(), "") {
			warnings = append(warnings, fmt.Sprintf("%s: %s has no effect yet", name, key))
		}
		merge(reflect.ValueOf(file).Elem(), reflect.ValueOf(next).Elem())
	}
	return file, warnings, nil
}

func expand(paths []string) ([]string, error) {
	var names []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			names = append(names, path)
			continue
		}
		entries, err := os.ReadDir(path) // sorted
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".hcl" || ext == ".json") {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	return names, nil
}

func read(name string) (*File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfigFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are allowed", name, info.Size(), maxConfigFile)
	}
	src, err := fs.ReadFile(os.DirFS(filepath.Dir(name)), filepath.Base(name))
	if err != nil {
		return nil, err
	}
	return ParseFile(name, src)
}

// ParseFile reads one configuration file: JSON when it starts with a brace, else HCL.
func ParseFile(name string, src []byte) (*File, error) {
	var parsed *hcl.File
	var diags hcl.Diagnostics
	if strings.HasPrefix(strings.TrimSpace(string(src)), "{") {
		parsed, diags = json.Parse(src, name)
	} else {
		parsed, diags = hclsyntax.ParseConfig(mapsAsAttributes(src), name, hcl.InitialPos)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	file := &File{}
	if diags := gohcl.DecodeBody(parsed.Body, nil, file); diags.HasErrors() {
		return nil, diags
	}
	return file, nil
}

// mapKeys are attributes that hold maps. HCL 1, in which Nomad's configuration is written,
// lets people write them as blocks with quoted keys.
var mapKeys = []string{"meta", "options", "chroot_env", "http_api_response_headers", "labels"}

// mapsAsAttributes writes "meta {" as "meta = {" so that any key may stand inside.
func mapsAsAttributes(src []byte) []byte {
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	var out []byte
	last := 0
	for i := 0; i+1 < len(tokens); i++ {
		t, next := tokens[i], tokens[i+1]
		starts := i == 0 || tokens[i-1].Type == hclsyntax.TokenNewline || tokens[i-1].Type == hclsyntax.TokenOBrace ||
			tokens[i-1].Type == hclsyntax.TokenComment
		if starts && t.Type == hclsyntax.TokenIdent && next.Type == hclsyntax.TokenOBrace && slices.Contains(mapKeys, string(t.Bytes)) {
			out = append(append(out, src[last:t.Range.End.Byte]...), " ="...)
			last = t.Range.End.Byte
		}
	}
	return append(out, src[last:]...)
}

// withoutEffect names the keys that are set and have no effect.
func withoutEffect(v reflect.Value, prefix string) []string {
	var keys []string
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		key, kind, _ := strings.Cut(field.Tag.Get("hcl"), ",")
		if kind == "remain" || kind == "label" || value.IsZero() {
			continue
		}
		switch {
		case field.Tag.Get("effect") == "none":
			keys = append(keys, prefix+key)
		case kind == "block" && value.Kind() == reflect.Pointer:
			keys = append(keys, withoutEffect(value.Elem(), prefix+key+".")...)
		case kind == "block":
			for j := range value.Len() {
				keys = append(keys, withoutEffect(value.Index(j).Elem(), prefix+key+".")...)
			}
		}
	}
	return keys
}

// merge puts what from sets over what into holds.
func merge(into, from reflect.Value) {
	for i := range from.NumField() {
		old, value := into.Field(i), from.Field(i)
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Map && !old.IsNil():
			joined := reflect.ValueOf(maps.Clone(old.Interface().(map[string]string)))
			for _, key := range value.MapKeys() {
				joined.SetMapIndex(key, value.MapIndex(key))
			}
			old.Set(joined)
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Pointer:
			old.Set(reflect.AppendSlice(old, value))
		case value.Kind() == reflect.Pointer && value.Elem().Kind() == reflect.Struct && !old.IsNil():
			merge(old.Elem(), value.Elem())
		default:
			old.Set(value)
		}
	}
}

// Values turns a plugin's configuration into values: blocks become maps, or lists of maps
// where one stands several times.
func (p *PluginFile) Values() (map[string]any, error) {
	if p.Config == nil {
		return nil, nil
	}
	return bodyValues(p.Config.Body)
}

func bodyValues(body hcl.Body) (map[string]any, error) {
	out := map[string]any{}
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		attrs, diags := body.JustAttributes()
		if diags.HasErrors() {
			return nil, diags
		}
		return out, attributeValues(attrs, out)
	}
	attrs := hcl.Attributes{}
	for name, a := range native.Attributes {
		attrs[name] = a.AsHCLAttribute()
	}
	if err := attributeValues(attrs, out); err != nil {
		return nil, err
	}
	for _, b := range native.Blocks {
		inner, err := bodyValues(b.Body)
		if err != nil {
			return nil, err
		}
		if earlier, ok := out[b.Type].([]any); ok {
			out[b.Type] = append(earlier, inner)
		} else {
			out[b.Type] = []any{inner}
		}
	}
	return out, nil
}

func attributeValues(attrs hcl.Attributes, out map[string]any) error {
	for name, a := range attrs {
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			return diags
		}
		goValue, err := plain(v)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", a.Range, name, err)
		}
		out[name] = goValue
	}
	return nil
}

// plain turns a value of HCL into strings, numbers, bools, lists and maps.
func plain(v cty.Value) (any, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case !v.IsWhollyKnown():
		return nil, fmt.Errorf("the value is not known")
	case v.Type() == cty.String:
		return v.AsString(), nil
	case v.Type() == cty.Bool:
		return v.True(), nil
	case v.Type() == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f, nil
	case v.Type().IsObjectType() || v.Type().IsMapType():
		out := map[string]any{}
		for key, inner := range v.AsValueMap() {
			value, err := plain(inner)
			if err != nil {
				return nil, err
			}
			out[key] = value
		}
		return out, nil
	}
	out := []any{}
	for _, inner := range v.AsValueSlice() {
		value, err := plain(inner)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}
