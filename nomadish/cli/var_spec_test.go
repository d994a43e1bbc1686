package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// What a specification may say, and what it is told when it is wrong. No message shows a value.
func TestVariableSpecification(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       *nomadish.Variable
		fault      string
	}{
		{
			"block", "path = \"a/b\"\nmodify_index = 7\nitems {\n  k = \"v\"\n  n = 5\n  yes = true\n}",
			&nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Path: "a/b", ModifyIndex: 7}, Items: nomadish.VariableItems{"k": "v", "n": "5", "yes": "true"}}, "",
		},
		{
			"map", `namespace = "n" path = "a" items = { "odd key" = "v" }`,
			&nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Namespace: "n", Path: "a"}, Items: nomadish.VariableItems{"odd key": "v"}}, "",
		},
		{
			"lock", `path = "a" lock { ttl = "20s" lock_delay = "1m" }`,
			&nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Path: "a", Lock: &nomadish.VariableLock{TTL: "20s", LockDelay: "1m"}}}, "",
		},
		{"unknown", `paht = "a"`, nil, `"paht" is not known`},
		{"unknown in lock", `lock { tll = "20s" }`, nil, "lock.tll is not known"},
		{"nested", `items { k { secretvalue = 1 } }`, nil, "items: k: a text is wanted"},
		{"no number", `modify_index = "secretvalue"`, nil, "modify_index: a whole number is wanted"},
		{"items are a text", `items = "secretvalue"`, nil, "items: a block of names and values is wanted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := hclVariable("spec.hcl", []byte(tt.text))
			if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
				t.Fatalf("error %v, want %q", err, tt.fault)
			}
			if err != nil && strings.Contains(err.Error(), "secretvalue") {
				t.Errorf("the message shows a value: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzVariableHCL: whatever a variable holds comes back out of its specification.
func FuzzVariableHCL(f *testing.F) {
	for _, s := range []string{"", "v", "${a}", "$${\"a\"}", "\\", "\x00\n\t\"", "ü\u2028", "<<EOF"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return // JSON has no such texts
		}
		v := &nomadish.Variable{Items: nomadish.VariableItems{key: value, "other": key}}
		v.Namespace, v.Path, v.ModifyIndex = "default", "a/b", 7
		got, err := hclVariable("spec.hcl", []byte(variableHCL(v)))
		if err != nil {
			t.Fatalf("%v\n%s", err, variableHCL(v))
		}
		if diff := cmp.Diff(map[string]string(v.Items), map[string]string(got.Items)); diff != "" || got.Path != v.Path || got.ModifyIndex != v.ModifyIndex {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
