//go:build linux

package container

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// writeFiles makes the container's own /etc/hosts, /etc/resolv.conf and /etc/hostname: copies,
// so that what the task writes stays with the task.
func (b *builder) writeFiles() error {
	if err := os.MkdirAll(filepath.Dir(b.files), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(b.files, 0o755); err != nil {
		return err
	}
	hosts, resolver := "/etc/hosts", "/etc/resolv.conf"
	if n := b.task.Network; n != nil {
		hosts = n.Hosts
		if n.Resolv != "" {
			resolver = n.Resolv
		}
	}
	known, err := readSmall(hosts)
	if err != nil {
		return err
	}
	if known == "" || b.plan.Alone && b.task.Network == nil {
		known = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
	}
	for _, line := range b.plan.Hosts {
		known = strings.TrimRight(known, "\n") + "\n" + line + "\n"
	}
	lines := strings.Join(b.plan.Resolver, "\n") + "\n"
	if len(b.plan.Resolver) == 0 {
		if lines, err = readSmall(resolver); err != nil {
			return err
		}
		if b.task.Network == nil {
			lines = resolvConf(lines, b.task.DNS)
		}
	}
	for name, text := range map[string]string{
		"hosts": known, "resolv.conf": lines, "hostname": b.hostname() + "\n",
	} {
		if err := os.WriteFile(filepath.Join(b.files, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// resolvConf puts what is wanted in the place of what a host's resolv.conf says.
func resolvConf(host string, want *nomadish.DNSConfig) string {
	if want == nil {
		return host
	}
	replaced := map[string]bool{"nameserver": len(want.Servers) > 0, "search": len(want.Searches) > 0, "options": len(want.Options) > 0}
	replaced["domain"] = replaced["search"] // another way to say it
	var b strings.Builder
	for line := range strings.Lines(host) {
		if words := strings.Fields(line); len(words) > 0 && !replaced[words[0]] {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	for _, s := range want.Servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if replaced["search"] {
		b.WriteString("search " + strings.Join(want.Searches, " ") + "\n")
	}
	if replaced["options"] {
		b.WriteString("options " + strings.Join(want.Options, " ") + "\n")
	}
	return b.String()
}

// readSmall reads a text file; no path, and no such file, are empty.
func readSmall(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(b), err
}
