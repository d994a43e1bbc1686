//go:build linux

package container

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// LookUp returns the numbers of a user ("name", "uid", "name:group", …; empty is root) and of
// additional groups, by /etc/passwd and /etc/group of the file system below root.
func LookUp(root, name string, groups []string) (specs.User, error) {
	if err := checkUser(name, groups); err != nil {
		return specs.User{}, err
	}
	passwd, err := readInside(root, "etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	group, err := readInside(root, "etc/group")
	if err != nil {
		return specs.User{}, err
	}
	found, err := user.GetExecUser(name, nil, strings.NewReader(passwd), strings.NewReader(group))
	if err != nil {
		return specs.User{}, fmt.Errorf("user %q: %w", name, err)
	}
	more, err := user.GetAdditionalGroups(groups, strings.NewReader(group))
	if err != nil {
		return specs.User{}, fmt.Errorf("group_add: %w", err)
	}
	u := specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	u.AdditionalGids = append(u.AdditionalGids, u.GID)
	for _, g := range append(found.Sgids, more...) {
		if !slices.Contains(u.AdditionalGids, uint32(g)) {
			u.AdditionalGids = append(u.AdditionalGids, uint32(g))
		}
	}
	return u, nil
}

// checkUser refuses what a parser may take for another number than the one it reads as: signs,
// spaces, leading zeros, and numbers that do not fit.
func checkUser(name string, groups []string) error {
	parts := append(strings.Split(name, ":"), groups...)
	if name == "" {
		parts = parts[1:]
	}
	if strings.Count(name, ":") > 1 {
		return fmt.Errorf("user %q: want USER or USER:GROUP", name)
	}
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, "/\x00") || strings.ContainsFunc(p, unicode.IsSpace) {
			return fmt.Errorf("user or group %q is not a name", p)
		}
		if c := p[0]; c != '+' && c != '-' && (c < '0' || c > '9') {
			continue
		}
		if n, err := strconv.ParseUint(p, 10, 31); err != nil || strconv.FormatUint(n, 10) != p {
			return fmt.Errorf("user or group %q is not a number from 0 to 2147483647", p)
		}
	}
	return nil
}

// Account returns the name and home directory that /etc/passwd below root has for a number;
// empty without.
func Account(root string, uid uint32) (name, home string) {
	passwd, err := readInside(root, "etc/passwd")
	if err != nil {
		return "", ""
	}
	found, err := user.ParsePasswdFilter(strings.NewReader(passwd), func(u user.User) bool { return u.Uid == int(uid) })
	if err != nil || len(found) == 0 {
		return "", ""
	}
	return found[0].Name, found[0].Home
}

// readInside reads a small file below root; one that is not there, or leads outside, is empty.
func readInside(root, path string) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer r.Close()
	info, err := r.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", nil // an image need not have one
	}
	f, err := r.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 4 << 20
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = errors.New("/" + path + " of the image is larger than " + strconv.Itoa(most) + " bytes")
	}
	return string(b), err
}
