//go:build linux

package sandbox

import (
	"cmp"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// usualDirs are the directories of the host that tasks see.
func usualDirs() []string {
	return []string{"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/run/resolvconf"}
}

// usualFiles are what tasks see of /etc: what programs look for, and nothing that is secret or
// says what else runs on the host.
func usualFiles() []string {
	return []string{
		"alternatives", "bash.bashrc", "bindresvport.blacklist", "ca-certificates", "ca-certificates.conf", "crypto-policies",
		"debian_version", "environment", "ethertypes", "fonts", "gai.conf", "group", "host.conf", "inputrc", "issue", "java*",
		"ld-musl-*.path", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "login.defs",
		"magic", "magic.mime", "mime.types", "netconfig", "networks", "nsswitch.conf", "os-release", "passwd", "perl",
		"pki/ca-trust", "pki/tls/certs", "profile", "profile.d", "protocols", "python*", "redhat-release", "rpc", "services",
		"shells", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
	}
}

// mounts are the host's files in a task's root, in the order in which they are made. What the
// host does not have is left out.
func (s *Sandbox) mounts() []specs.Mount {
	chosen := maps.Clone(s.cfg.Chroot)
	if len(chosen) == 0 {
		chosen = map[string]string{}
		for _, dir := range usualDirs() {
			chosen[dir] = dir
		}
		for _, pattern := range usualFiles() {
			found, err := filepath.Glob(filepath.Join(s.host, "/etc", pattern))
			if err != nil {
				continue // none of ours is malformed
			}
			for _, file := range found {
				file = "/" + strings.TrimPrefix(file, s.host)
				chosen[path.Clean(file)] = path.Clean(file)
			}
		}
	}
	var out []specs.Mount
	for _, from := range slices.Sorted(maps.Keys(chosen)) {
		source := filepath.Join(s.host, from)
		if _, err := os.Stat(source); err != nil {
			continue
		}
		out = append(out, ReadOnly(source, path.Clean(chosen[from])))
	}
	slices.SortStableFunc(out, func(a, b specs.Mount) int { return cmp.Compare(a.Destination, b.Destination) })
	return out
}

// ReadOnly is a mount of one file or directory of the host. What is mounted below it on the
// host is not seen: it would not be read-only.
func ReadOnly(from, to string) specs.Mount {
	return specs.Mount{Destination: to, Type: "bind", Source: from, Options: []string{"bind", "ro", "nosuid", "nodev", "rprivate"}}
}

// Shows says whether tasks see a path of the host at the same place.
func (s *Sandbox) Shows(file string) bool {
	return slices.ContainsFunc(s.mounts(), func(m specs.Mount) bool {
		return m.Destination == path.Join("/", m.Source) && (file == m.Destination || strings.HasPrefix(file, m.Destination+"/"))
	})
}
