//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/client"
	copyfs "github.com/containerd/continuity/fs"

	"github.com/nomadish/nomadish/drivers/container"
)

// volumeStore keeps the data of volumes: named ones, which stay and are shared by all tasks
// that name them, and those of one container, which go with it.
type volumeStore struct {
	named, own string          // directories
	turns      container.Turns // one filling per named volume at a time
}

func newVolumeStore(dir string) *volumeStore {
	return &volumeStore{named: filepath.Join(dir, "named"), own: filepath.Join(dir, "own")}
}

// In a volume's directory there is what tasks see, and, until it is filled, what will be that.
const (
	dataName   = "data"
	unfinished = "new"
)

// view gives f the file system of the image that fills a volume.
type view func(f func(root string) error) error

// get returns the directory of a named volume. A new one has what the image has at the target.
func (s *volumeStore) get(ctx context.Context, v volume, image view) (string, error) {
	release, err := s.turns.Take(ctx, v.source)
	if err != nil {
		return "", err
	}
	defer release()
	return fill(filepath.Join(s.named, v.source), v, image)
}

// make returns a new directory for the nth volume of one container.
func (s *volumeStore) make(key string, n int, v volume, image view) (string, error) {
	return fill(filepath.Join(s.own, key, strconv.Itoa(n)), v, image)
}

// fill makes a volume, whole or not at all; one that is there stays as it is.
func fill(dir string, v volume, image view) (string, error) {
	data := filepath.Join(dir, dataName)
	if _, err := os.Lstat(data); !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	temp := filepath.Join(dir, unfinished)
	err := os.RemoveAll(temp) // of an agent that died
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.Mkdir(temp, 0o755)
	}
	if err == nil {
		err = os.Chmod(temp, 0o755) // whatever the umask
	}
	if err == nil && !v.noCopy {
		err = image(func(root string) error { return copyInto(temp, root, v.target) })
	}
	if err == nil {
		err = os.Rename(temp, data)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("fill the volume at %s: %w", v.target, err), os.RemoveAll(temp))
	}
	return data, nil
}

// copyInto copies what an image has at a path, with owners and modes; it may have nothing
// there. Links of the image lead nowhere outside it.
func copyInto(to, root, path string) error {
	from, err := copyfs.RootPath(root, path)
	if err != nil {
		return err
	}
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.IsDir() {
		return err
	}
	return copyfs.CopyDir(to, from)
}

// drop removes the volumes of one container.
func (s *volumeStore) drop(key string) error { return os.RemoveAll(filepath.Join(s.own, key)) }

// reap removes the volumes of containers that are not kept.
func (s *volumeStore) reap(kept map[string]bool) error {
	keys, err := os.ReadDir(s.own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, k := range keys {
		if !kept[k.Name()] && strings.HasPrefix(k.Name(), "nmd-") {
			errs = append(errs, s.drop(k.Name()))
		}
	}
	return errors.Join(errs...)
}

// imageView is the view of an image.
func (d *Driver) imageView(ctx context.Context, c *client.Client, img client.Image) view {
	return func(f func(root string) error) error { return d.View(ctx, c, img, f) }
}
