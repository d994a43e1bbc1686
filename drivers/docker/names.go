package docker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/nomadish/nomadish/drivers"
)

// checkNames refuses a config block with options that do not exist, are missing, or mean
// something that this driver does not do, all at once; it returns what to tell of options
// that have no effect.
func checkNames(table map[string]option, config map[string]any) (notices []string, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(config)) {
		o, ok := table[name]
		switch {
		case !ok:
			errs = append(errs, unknown(name, slices.Collect(maps.Keys(table))))
		case empty(config[name]):
		case o.effect == refused:
			errs = append(errs, fmt.Errorf("option %s is refused: %s", name, o.why))
		case o.effect == notice:
			notices = append(notices, name+": no effect: "+o.why)
		default:
			errs = append(errs, checkInside(name, o.Block, config[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if table[name].Required && empty(config[name]) {
			errs = append(errs, fmt.Errorf("missing option: %s", name))
		}
	}
	return notices, errors.Join(errs...)
}

// checkInside refuses unknown and missing options of blocks, at any depth. What is no block
// at all is told when it is read.
func checkInside(path string, schema drivers.Schema, value any) error {
	if schema == nil {
		return nil
	}
	var errs []error
	for _, block := range blocks(value) {
		for _, name := range slices.Sorted(maps.Keys(block)) {
			o, ok := schema[name]
			if !ok {
				errs = append(errs, fmt.Errorf("%s: %w", path, unknown(name, slices.Collect(maps.Keys(schema)))))
				continue
			}
			errs = append(errs, checkInside(path+"."+name, o.Block, block[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(schema)) {
			if schema[name].Required && empty(block[name]) {
				errs = append(errs, fmt.Errorf("%s: missing option: %s", path, name))
			}
		}
	}
	return errors.Join(errs...)
}

func blocks(value any) []map[string]any {
	switch v := value.(type) {
	case map[string]any:
		return []map[string]any{v}
	case []map[string]any:
		return v
	case []any:
		var out []map[string]any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				out = append(out, m)
			}
		}
		return out
	}
	return nil
}

// empty says whether writing the value is the same as not writing the option.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	case []map[string]any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func unknown(name string, known []string) error {
	return fmt.Errorf("unknown option: %s%s", name, nearest(name, known))
}

// nearest suggests the name that is nearest to word, if one is near.
func nearest(word string, names []string) string {
	best, least := "", 1+len(word)/4
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := levenshtein.Distance(strings.ToLower(word), name, nil); d <= least {
			best, least = name, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}
