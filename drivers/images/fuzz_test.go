//go:build linux

package images

import (
	"strings"
	"testing"
)

// A name that is taken is in its normal form for good, and names a registry without
// credentials and without a way up.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"redis", "redis:7", "https://a.example:5000/b/c@sha256:" + strings.Repeat("0", 64), "me:pass@a/b", "../a", "a//b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := ParseName(name)
		if err != nil {
			return
		}
		again, err := ParseName(ref)
		if err != nil || again != ref {
			t.Errorf("%q is %q, which is %q, %v", name, ref, again, err)
		}
		if host := registryOf(ref); host == "" || strings.ContainsAny(host, "@/ \n") || strings.Contains(ref, "..") {
			t.Errorf("%q is %q", name, ref)
		}
	})
}

// Whatever is in Docker's file, it gives credentials or an error that does not quote it, and
// runs no program but by a name.
func FuzzAuthFile(f *testing.F) {
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},"a.example":{"username":"me","password":"x"}}}`), "a.example")
	f.Add([]byte(`{"credsStore":"../x","credHelpers":{"a.example":"ok"}}`), "a.example")
	f.Add([]byte(`{"auths":{"a.example":{"auth":"!"}}}`), "a.example")
	f.Fuzz(func(t *testing.T, content []byte, host string) {
		file, err := parseAuthFile(content)
		if err == nil {
			_, _, err = file.find(host, func(helper, _ string) (string, string, error) { return "", "", checkHelper(helper) })
		}
		if err != nil && len(content) > 64 && strings.Contains(err.Error(), string(content)) {
			t.Errorf("the error quotes the file: %v", err)
		}
	})
}

// What a helper prints never shows in an error.
func FuzzHelperAnswer(f *testing.F) {
	f.Add([]byte(`{"Username":"me","Secret":"x"}`))
	f.Add([]byte(`{"Username":"<token>","Secret":"x"}`))
	f.Add([]byte(`sekret-that-is-no-json`))
	f.Fuzz(func(t *testing.T, out []byte) {
		user, _, err := parseHelper("x", out)
		if err != nil && len(out) > 60 && strings.Contains(err.Error(), string(out)) {
			t.Errorf("the error quotes the helper: %v", err)
		}
		if user == "<token>" {
			t.Error("a token is no user")
		}
	})
}
