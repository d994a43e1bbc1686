//go:build linux

package images

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// maxName bounds the name of an image.
const maxName = 4096

// ParseName returns the normal form of an image's name as users write it: NAME, NAME:TAG or
// NAME@DIGEST, of docker.io unless it names a registry, with https:// before it or not.
func ParseName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if len(name) > maxName {
		return "", fmt.Errorf("a name of %d bytes is longer than %d", len(name), maxName)
	}
	plain := strings.TrimPrefix(name, "https://")
	host, _, _ := strings.Cut(plain, "/")
	if user, _, credentials := strings.Cut(host, "@"); credentials && strings.Contains(user, ":") && plain != host {
		return "", fmt.Errorf("credentials do not belong into an image's name: write an auth block") // and not the name: it has them
	}
	named, err := reference.ParseDockerRef(plain)
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, err)
	}
	return named.String(), nil
}

// moves says whether an image's name may mean another one tomorrow: the tag latest is asked
// for at each start.
func moves(ref string) bool { return strings.HasSuffix(ref, ":latest") }

// registryOf is the host that a normal name begins with.
func registryOf(ref string) string {
	host, _, _ := strings.Cut(ref, "/")
	return host
}
