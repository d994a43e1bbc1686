package nomadish_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// However a variable is printed or logged, its values don't show. Only JSON, which the API
// speaks, has them.
func TestVariableItemsAreNotPrinted(t *testing.T) {
	const canary = "canary-value"
	v := &nomadish.Variable{Items: nomadish.VariableItems{"k": canary}}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("text", "items", v.Items, "variable", v, "value", *v)
	json := slog.New(slog.NewJSONHandler(&log, nil))
	json.Info("json", "items", v.Items)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
		for _, value := range []any{v, *v, v.Items, []any{v.Items}, map[string]any{"v": v.Items}, fmt.Errorf("e: %v", v.Items)} {
			fmt.Fprintf(&log, format+"\n", value)
		}
	}
	if text := log.String(); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
		t.Errorf("printed:\n%s", text)
	}
	b, err := nomadish.EncodeJSON(v)
	if err != nil || !strings.Contains(string(b), canary) {
		t.Errorf("JSON: %s, %v", b, err)
	}
}

// What is sealed is bound to namespace, path and base: no two different ones look alike.
func TestBound(t *testing.T) {
	row := func(namespace, path string, base uint64) string {
		v := &nomadish.SealedVariable{Base: base}
		v.Namespace, v.Path = namespace, path
		return string(v.Bound())
	}
	seen := map[string]string{}
	for _, namespace := range []string{"a", "ab", "b"} {
		for _, path := range []string{"a", "ba", "b/a", "a/b"} {
			for _, base := range []uint64{0, 1, 1 << 40} {
				name, bound := fmt.Sprint(namespace, " ", path, " ", base), row(namespace, path, base)
				if other, taken := seen[bound]; taken {
					t.Errorf("%s is bound as %s", name, other)
				}
				seen[bound] = name
			}
		}
	}
}

func FuzzCheckVariablePath(f *testing.F) {
	for _, path := range []string{"a/b", "nomad/jobs/web", "nomad", "", "/a", "a.b", strings.Repeat("p", 129), "ü", "a\x00"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if nomadish.CheckVariablePath(path) != nil {
			return
		}
		// What is allowed can stand in a URL as it is, and in keys of the state.
		if len(path) > nomadish.MaxVariablePath || strings.Trim(path, "/") != path || path == "" {
			t.Errorf("%q is allowed", path)
		}
		for _, r := range path {
			if r >= 0x80 || strings.ContainsRune(" .@%?#\\\x00", r) {
				t.Errorf("%q is allowed", path)
			}
		}
		if strings.HasPrefix(path, "nomad/") && !strings.HasPrefix(path, "nomad/jobs") && !strings.HasPrefix(path, "nomad/job-templates") {
			t.Errorf("%q is allowed", path)
		}
	})
}
