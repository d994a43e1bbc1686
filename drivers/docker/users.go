//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxUsers bounds how many answers about users of images are kept.
const maxUsers = 1024

// users remembers which numbers the users of images have: finding out needs a mount.
type users struct {
	mu    sync.Mutex
	known map[string]specs.User
}

// user returns the numbers of a user ("name", "uid", "name:group", …; empty is root) and
// of additional groups, by the image's /etc/passwd and /etc/group.
func (d *Driver) user(ctx context.Context, c *client.Client, img client.Image, name string, groups []string) (specs.User, error) {
	key := strings.Join(append([]string{img.Target().Digest.String(), name}, groups...), "\x00")
	d.users.mu.Lock()
	u, ok := d.users.known[key]
	d.users.mu.Unlock()
	if ok {
		return u, nil
	}
	err := d.withRoot(ctx, c, img, func(root string) error {
		var err error
		u, err = lookUp(root, name, groups)
		return err
	})
	if err != nil {
		return specs.User{}, err
	}
	d.users.mu.Lock()
	defer d.users.mu.Unlock()
	if d.users.known == nil || len(d.users.known) >= maxUsers {
		d.users.known = map[string]specs.User{}
	}
	d.users.known[key] = u
	return u, nil
}

// withRoot mounts the image's file system read-only while f runs.
func (d *Driver) withRoot(ctx context.Context, c *client.Client, img client.Image, f func(root string) error) (err error) {
	layers, err := img.RootFS(ctx)
	if err != nil {
		return err
	}
	snapshotter, err := d.pickSnapshotter(ctx, c)
	if err != nil {
		return err
	}
	dir := filepath.Join(d.l.Run, "views")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.MkdirTemp(dir, "")
	if err != nil {
		return err
	}
	view := viewPrefix + filepath.Base(root) // reaped when the agent dies before it is removed
	service := c.SnapshotService(snapshotter)
	mounts, err := service.View(ctx, view, identity.ChainID(layers).String())
	if err != nil {
		return errors.Join(err, os.Remove(root))
	}
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, mount.UnmountAll(root, 0), os.Remove(root), ignoreNotFound(service.Remove(clean, view)))
	}()
	if err := mount.All(mounts, root); err != nil {
		return fmt.Errorf("mount the image: %w", err)
	}
	return f(root)
}

const viewPrefix = "nomadish-view-"

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func lookUp(root, name string, groups []string) (specs.User, error) {
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

// readInside reads a small file of an image; one that is not there, or leads outside, is empty.
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
