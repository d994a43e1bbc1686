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

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// LookUp returns the numbers of a user ("name", "uid", "name:group", …; empty is root) and of
// additional groups, by /etc/passwd and /etc/group of the file system below root.
func LookUp(root, name string, groups []string) (specs.User, error) {
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
