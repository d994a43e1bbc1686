package hooks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// options checks the task's config block against what its driver knows.
type options struct{}

func (options) Name() string { return "config" }

func (options) Prepare(_ context.Context, s *task.Setup) error {
	schema := s.Driver.Schema()
	if schema == nil {
		return nil // a driver that takes anything
	}
	faults := checkBlock("", schema, s.Spec.Config)
	if len(faults) == 0 {
		return nil
	}
	return &task.InvalidError{Err: fmt.Errorf("driver %s: %s", s.Task.Driver, strings.Join(faults, "; "))}
}

// checkBlock returns all faults of a block, in the order of the options' names.
func checkBlock(prefix string, schema drivers.Schema, config map[string]any) []string {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		attr, known := schema[name]
		if !known {
			faults = append(faults, fmt.Sprintf("unknown option %q", prefix+name))
			continue
		}
		faults = append(faults, checkValue(prefix, name, attr, config)...)
	}
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		if schema[name].Required && config[name] == nil {
			faults = append(faults, fmt.Sprintf("option %q is missing", prefix+name))
		}
	}
	return faults
}

func checkValue(prefix, name string, attr nomadish.ConfigAttribute, config map[string]any) []string {
	read := drivers.NewOptions(map[string]any{prefix + name: config[name]})
	full := prefix + name
	switch attr.Type {
	case nomadish.ConfigString:
		read.String(full)
	case nomadish.ConfigNumber:
		return checkNumber(full, config[name])
	case nomadish.ConfigBool:
		read.Bool(full)
	case nomadish.ConfigDuration:
		read.Duration(full)
	case nomadish.ConfigStringList:
		read.Strings(full)
	case nomadish.ConfigStringMap:
		read.Map(full)
	case nomadish.ConfigBlock, nomadish.ConfigBlockList:
		return checkBlocks(full, attr, config[name])
	}
	if err := read.Err(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// checkNumber takes whole and other numbers, also written as text.
func checkNumber(name string, v any) []string {
	if _, ok := v.(float64); ok {
		return nil
	}
	read := drivers.NewOptions(map[string]any{name: v})
	read.Int(name)
	if err := read.Err(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

func checkBlocks(name string, attr nomadish.ConfigAttribute, v any) []string {
	var blocks []map[string]any
	switch v := v.(type) {
	case map[string]any:
		blocks = []map[string]any{v}
	case []map[string]any:
		blocks = v
	case []any:
		for _, e := range v {
			b, ok := e.(map[string]any)
			if !ok {
				return []string{fmt.Sprintf("option %q: want a block, got %v", name, e)}
			}
			blocks = append(blocks, b)
		}
	default:
		return []string{fmt.Sprintf("option %q: want a block, got %v", name, v)}
	}
	if attr.Type == nomadish.ConfigBlock && len(blocks) > 1 {
		return []string{fmt.Sprintf("option %q: there can be only one", name)}
	}
	if attr.Block == nil {
		return nil
	}
	var faults []string
	for _, b := range blocks {
		faults = append(faults, checkBlock(name+".", attr.Block, b)...)
	}
	return faults
}
