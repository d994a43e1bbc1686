//go:build linux

package container

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
