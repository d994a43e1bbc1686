//go:build linux

package images

import (
	"cmp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A short name means docker.io; a name never carries credentials.
func TestParseName(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct{ name, want string }{
		{"redis", "docker.io/library/redis:latest"},
		{"redis:7", "docker.io/library/redis:7"},
		{"me/app:1", "docker.io/me/app:1"},
		{"https://registry.example/a:1", "registry.example/a:1"},
		{"localhost:5000/a", "localhost:5000/a:latest"},
		{"redis@" + digest, "docker.io/library/redis@" + digest},
		{"redis:7@" + digest, "docker.io/library/redis@" + digest},
		{"UPPER CASE", ""},
		{"", ""},
		{"../../etc", ""},
		{"https://me:canary@registry.example/a", ""},
		{"me:canary@registry.example/a:1", ""},
	} {
		got, err := ParseName(tt.name)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q is %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error of %q shows a password: %v", tt.name, err)
		}
	}
}

// Of an archive with several images, the one of the asked name is taken.
func TestChoose(t *testing.T) {
	held := func(names ...string) (out []ocispec.Descriptor) {
		for i, n := range names {
			out = append(out, ocispec.Descriptor{Size: int64(i), Annotations: map[string]string{images.AnnotationImageName: n}})
		}
		return out
	}
	for _, tt := range []struct {
		held []ocispec.Descriptor
		want int64 // -1: none
	}{
		{held("docker.io/library/a:1", "docker.io/library/b:1"), 1},
		{held("a", "b:1"), 1},
		{held("a", "1"), 1},
		{held("b:2"), -1},
		{held(""), 0},
		{held("", ""), -1},
		{nil, -1},
	} {
		got, err := choose(tt.held, "docker.io/library/b:1")
		if (err != nil) != (tt.want < 0) || err == nil && got.Size != tt.want {
			t.Errorf("of %v: %d, %v; want %d", tt.held, got.Size, err, tt.want)
		}
	}
}

// Credentials go to the registry that they are for and to no other.
func TestCredentialsStayHome(t *testing.T) {
	for _, tt := range []struct {
		image, server, host string
		want                bool
	}{
		{image: "docker.io/me/app:1", host: "registry-1.docker.io", want: true},
		{image: "docker.io/me/app:1", server: "https://index.docker.io/v1/", host: "registry-1.docker.io", want: true},
		{image: "docker.io/me/app:1", host: "evil.example"},
		{image: "registry.example/a:1", host: "registry.example", want: true},
		{image: "registry.example/a:1", host: "registry.example:443", want: true},
		{image: "registry.example:5000/a:1", host: "registry.example"},
		{image: "registry.example/a:1", server: "other.example", host: "registry.example"},
	} {
		if got := sameRegistry(tt.host, cmp.Or(tt.server, registryOf(tt.image))); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
