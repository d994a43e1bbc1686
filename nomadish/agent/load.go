package agent

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/nomadish/nomadish/jobspec/hcl1"
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
		keys := withoutEffect(reflect.ValueOf(next).Elem(), "")
		if next.Client != nil {
			keys = append(keys, next.Client.optionsWithoutEffect()...)
		}
		for _, key := range keys {
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

// ParseFile reads one configuration file, in the HCL that Nomad takes, or JSON.
func ParseFile(name string, src []byte) (*File, error) {
	body, err := hcl1.Parse(name, src)
	if err != nil {
		return nil, err
	}
	file := &File{}
	if diags := gohcl.DecodeBody(body, nil, file); diags.HasErrors() {
		return nil, diags
	}
	return file, nil
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

// Values turns a plugin's configuration into values: blocks become lists of maps.
func (p *PluginFile) Values() (map[string]any, error) {
	if p.Config == nil {
		return nil, nil
	}
	body, ok := p.Config.Body.(*hcl1.Body)
	if !ok {
		return nil, fmt.Errorf("plugin %q: its config was read by somebody else: %T", p.Name, p.Config.Body)
	}
	return body.Values(), nil
}
