package hooks

import (
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/client/task"
)

// maxText bounds a text after interpolation, and all of a config block's together.
const maxText = 4 << 20

// interpolation replaces ${…} in what the job wrote for the task.
type interpolation struct{}

func (interpolation) Name() string { return "interpolation" }

func (interpolation) Prepare(_ context.Context, s *task.Setup) error {
	in := interpolator{env: s.Spec.Env, node: nodeVariables(s.Node, s.Spec.Env["NOMAD_REGION"]), left: maxText}
	for name, value := range s.Spec.Env {
		if strings.HasPrefix(name, "NOMAD_META_") {
			s.Spec.Env[name] = in.text(value)
		}
	}
	written := make(map[string]string, len(s.Task.Env))
	for name, value := range s.Task.Env {
		written[in.text(name)] = in.text(value)
	}
	for name, value := range written { // the job's own come last: it may override ours
		s.Spec.Env[name] = value
	}
	config, ok := in.value(s.Task.Config).(map[string]any)
	if !ok {
		config = map[string]any{}
	}
	s.Spec.Config = config
	s.Spec.User = in.text(s.Task.User)
	if in.left < 0 {
		return &task.InvalidError{Err: fmt.Errorf("env and config of the task are longer than %d bytes after interpolation", maxText)}
	}
	return nil
}

// interpolator replaces references. Values are not looked through again, and the output is
// bounded: what would go beyond left is cut off, and left is negative then.
type interpolator struct {
	env  map[string]string
	node map[string]string
	left int
}

// value replaces in all texts of a value, which stays as it is.
func (in *interpolator) value(v any) any {
	switch v := v.(type) {
	case string:
		return in.text(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = in.value(e)
		}
		return out
	case []string:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = in.text(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[in.text(k)] = in.value(e)
		}
		return out
	case []map[string]any:
		out := make([]map[string]any, len(v))
		for i, e := range v {
			out[i], _ = in.value(e).(map[string]any)
		}
		return out
	case map[string]string:
		out := make(map[string]string, len(v))
		for k, e := range v {
			out[in.text(k)] = in.text(e)
		}
		return out
	}
	return v
}

// text replaces each ${name} whose name is known; others stay as they are written.
func (in *interpolator) text(s string) string {
	var out strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			break
		}
		length := strings.IndexByte(s[start:], '}')
		if length < 0 {
			break
		}
		if inside := strings.LastIndex(s[start+2:start+length], "${"); inside >= 0 {
			start, length = start+2+inside, length-2-inside // the innermost one
		}
		end := start + length + 1
		value, known := in.lookup(s[start+2 : end-1])
		if !known {
			value = s[start:end]
		}
		in.write(&out, s[:start])
		in.write(&out, value)
		s = s[end:]
	}
	in.write(&out, s)
	return out.String()
}

func (in *interpolator) write(out *strings.Builder, s string) {
	in.left -= len(s)
	if in.left >= 0 {
		out.WriteString(s)
	}
}

func (in *interpolator) lookup(name string) (string, bool) {
	name = strings.TrimSpace(name)
	if v, ok := in.node[name]; ok {
		return v, true
	}
	if rest, ok := strings.CutPrefix(name, `env["`); ok {
		name = strings.TrimSuffix(rest, `"]`)
	} else if rest, ok := strings.CutPrefix(name, "env."); ok {
		name = rest
	}
	if v, ok := in.env[name]; ok {
		return v, true
	}
	if strings.HasPrefix(name, "NOMAD_") {
		v, ok := in.env[cleanName(name)]
		return v, ok
	}
	return "", false
}
