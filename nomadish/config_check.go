package nomadish

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// CheckConfig says what of a task's config its driver won't understand: options that it
// doesn't know, values of the wrong type, and required options that are missing. A value
// that is filled in on the node (${…}) may become anything and is not checked.
func CheckConfig(schema ConfigSchema, config map[string]any) Warnings {
	var w Warnings
	checkConfig(&w, schema, config, "")
	return w
}

func checkConfig(w *Warnings, schema ConfigSchema, config map[string]any, prefix string) {
	for _, name := range sortedKeys(config) {
		attr, ok := schema[name]
		switch {
		case !ok:
			*w = append(*w, fmt.Sprintf("unknown option %q", prefix+name))
		case attr.Type == ConfigBlock || attr.Type == ConfigBlockList:
			checkBlocks(w, attr, config[name], prefix+name)
		case !attr.takes(config[name]):
			*w = append(*w, fmt.Sprintf("option %q: want %s", prefix+name, attr.Type))
		}
	}
	for _, name := range sortedKeys(schema) {
		if schema[name].Required && config[name] == nil {
			*w = append(*w, fmt.Sprintf("option %q is required", prefix+name))
		}
	}
}

func checkBlocks(w *Warnings, attr ConfigAttribute, v any, name string) {
	blocks, ok := asBlocks(v)
	if !ok || attr.Type == ConfigBlock && len(blocks) > 1 {
		*w = append(*w, fmt.Sprintf("option %q: want %s", name, attr.Type))
		return
	}
	for i, b := range blocks {
		prefix := name + "."
		if len(blocks) > 1 {
			prefix = fmt.Sprintf("%s[%d].", name, i)
		}
		checkConfig(w, attr.Block, b, prefix)
	}
}

// asBlocks returns the blocks that a value stands for: a map, or a list of maps.
func asBlocks(v any) ([]map[string]any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case map[string]any:
		return []map[string]any{v}, true
	case []any:
		var blocks []map[string]any
		for _, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				return nil, false
			}
			blocks = append(blocks, m)
		}
		return blocks, true
	}
	return nil, false
}

// takes says whether an attribute takes a value, after the conversions that HCL makes.
func (a ConfigAttribute) takes(v any) bool {
	s, isString := v.(string)
	if v == nil || isString && strings.Contains(s, "${") {
		return true
	}
	switch a.Type {
	case ConfigAny:
		return true
	case ConfigString:
		return isScalar(v)
	case ConfigNumber:
		_, err := strconv.ParseFloat(s, 64)
		return isNumeric(v) || isString && err == nil
	case ConfigBool:
		_, isBool := v.(bool)
		return isBool || s == "true" || s == "false"
	case ConfigDuration:
		_, err := time.ParseDuration(s)
		return isString && err == nil
	case ConfigStringList:
		list, ok := v.([]any)
		for _, e := range list {
			ok = ok && isScalar(e)
		}
		return ok
	case ConfigStringMap:
		blocks, ok := asBlocks(v)
		for _, b := range blocks {
			for _, e := range b {
				ok = ok && (e == nil || isScalar(e))
			}
		}
		return ok
	}
	return false
}

func isNumeric(v any) bool {
	switch v.(type) {
	case int64, float64, int:
		return true
	}
	return false
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, bool:
		return true
	}
	return isNumeric(v)
}

// String names the type in messages.
func (t ConfigType) String() string {
	names := [...]string{
		"a string", "a number", "true or false", `a duration such as "30s"`, "a list of strings",
		"a map of strings", "one block", "blocks", "anything",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return "a type " + strconv.Itoa(int(t))
}
