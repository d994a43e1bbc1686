//go:build linux

package images_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/examples/image/archive"
	"github.com/nomadish/nomadish/nomadish"
)

func ociArchive(t *testing.T, ref string, img v1.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := archive.Write(&b, ref, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dockerArchive(t *testing.T, ref string, img v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packed(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Users put images onto a node by archives of both kinds; they stay until they are removed,
// and a task's image is taken from there also when its tag is latest.
func TestLoadListRemove(t *testing.T) {
	s := newStore(t, images.Config{})
	for _, tt := range []struct {
		name    string
		archive []byte
		as      string // given by the user
		want    string // name, or
		fails   string
	}{
		{name: "OCI", archive: ociArchive(t, "load-a:1", build(t, "a", 10)), want: "docker.io/library/load-a:1"},
		{name: "docker", archive: dockerArchive(t, "load-b", build(t, "b", 10)), want: "docker.io/library/load-b:latest"},
		{name: "packed", archive: packed(t, ociArchive(t, "registry.example/load-c:1", build(t, "c", 10))), want: "registry.example/load-c:1"},
		{name: "named", archive: ociArchive(t, "load-d:1", build(t, "d", 10)), as: "load-e:2", want: "docker.io/library/load-e:2"},
		{name: "without a full name", archive: ociArchive(t, "1", build(t, "f", 10)), fails: "no full name"},
		{name: "nonsense", archive: []byte("nonsense"), fails: "no OCI or docker archive"},
		{name: "cut off", archive: ociArchive(t, "load-g:1", build(t, "g", 10))[:3000], fails: "archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loaded, err := s.Load(containertest.Context(t), bytes.NewReader(tt.archive), tt.as)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || nomadish.KindOf(err) != nomadish.KindInvalid {
					t.Errorf("error %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(loaded) != 1 || loaded[0].Name != tt.want || !loaded[0].Kept || loaded[0].Size == 0 {
				t.Errorf("loaded %+v, want %s", loaded[0], tt.want)
			}
			get(t, s, images.Request{Ref: tt.want}) // no registry could be asked
			if !has(t, s, tt.want) {
				t.Error("it is not in the list")
			}
			if err := s.Remove(containertest.Context(t), tt.want, false); err != nil || has(t, s, tt.want) {
				t.Errorf("remove: %v", err)
			}
		})
	}
}

// An image goes from one node to another as an archive.
func TestExport(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	img := build(t, "x", 100_000)
	ref := h.push(t, "app:1", img)
	get(t, s, images.Request{Ref: ref})
	var b bytes.Buffer
	if err := s.Export(containertest.Context(t), ref, &b); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(containertest.Context(t), ref, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Export(containertest.Context(t), ref, io.Discard); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("export of what is gone: %v", err)
	}
	loaded, err := s.Load(containertest.Context(t), &b, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != 1 || loaded[0].Name != ref || loaded[0].Digest != digestOf(t, img) {
		t.Errorf("loaded %+v, want %s", loaded[0], digestOf(t, img))
	}
}

// A user's pull is answered with the kind of what went wrong.
func TestUsersPull(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	if _, err := s.Pull(containertest.Context(t), h.addr+"/nothing:1", nil); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("missing: %v", err)
	}
	if _, err := s.Pull(containertest.Context(t), "UPPER", nil); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("no name: %v", err)
	}
}

// An archive that is larger than the node allows is refused, packed or not.
func TestArchivesAreBounded(t *testing.T) {
	s := newStore(t, images.Config{MaxArchive: 100 << 10})
	big := ociArchive(t, "big:1", build(t, "x", 200<<10))
	for _, content := range [][]byte{big, packed(t, big)} {
		if _, err := s.Load(containertest.Context(t), bytes.NewReader(content), ""); err == nil || !strings.Contains(err.Error(), "max_archive") {
			t.Errorf("error %v, want one that names max_archive", err)
		}
	}
}

// A task that swaps its archive for a link while it is opened gets nothing from outside of
// its directory.
func TestArchiveIsSwapped(t *testing.T) {
	s := newStore(t, images.Config{})
	outside := filepath.Join(t.TempDir(), "secret.tar")
	if err := os.WriteFile(outside, ociArchive(t, "swap:1", build(t, "secret", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	local := t.TempDir()
	for _, link := range []struct{ name, target string }{{"dir", filepath.Dir(outside)}, {"dir2", "/"}} {
		if err := os.Symlink(link.target, filepath.Join(local, link.name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(local, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() { // what the path means changes all the time
			_ = os.Rename(filepath.Join(local, "dir"), filepath.Join(local, "x"))
			_ = os.Rename(filepath.Join(local, "real"), filepath.Join(local, "dir"))
			_ = os.Rename(filepath.Join(local, "dir"), filepath.Join(local, "real"))
			_ = os.Rename(filepath.Join(local, "x"), filepath.Join(local, "dir"))
		}
	}()
	for range 2000 {
		_, _, err := s.Get(containertest.Context(t), images.Request{
			Ref: "docker.io/library/swap:1", Load: "dir/secret.tar", Dir: drivers.TaskDir{Local: local, Task: local},
		})
		if err == nil {
			t.Error("an archive from outside was read")
			break
		}
	}
	stop.Store(true)
	<-done
}

// A task's archive is read from its directory or an allowed one; the image is the one of the
// asked name.
func TestTasksArchive(t *testing.T) {
	allowed := t.TempDir()
	s := newStore(t, images.Config{Archives: []string{allowed}})
	inAllowed := filepath.Join(allowed, "i.tar")
	for _, tt := range []struct {
		name    string
		content []byte
		file    string // relative to the task's directory, or absolute
		link    string // in place of content: where it leads
		ref     string
		load    string
		fails   string
	}{
		{name: "docker", content: dockerArchive(t, "app:1", build(t, "a", 10)), file: "local/a.tar", ref: "app:1", load: "a.tar"},
		{name: "OCI", content: ociArchive(t, "app:2", build(t, "b", 10)), file: "local/b.tar", ref: "app:2", load: "local/b.tar"},
		{name: "named by tag only", content: ociArchive(t, "3", build(t, "c", 10)), file: "local/c.tar", ref: "app:3", load: "c.tar"},
		{name: "allowed directory", content: ociArchive(t, "app:9", build(t, "i", 10)), file: inAllowed, ref: "app:9", load: inAllowed},
		{name: "another name", content: ociArchive(t, "other:1", build(t, "d", 10)), file: "local/d.tar", ref: "app:4", load: "d.tar", fails: "holds other:1, not docker.io/library/app:4"},
		{name: "not there", ref: "app:5", load: "e.tar", fails: "no such file"},
		{name: "upwards", ref: "app:5", load: "../../e.tar", fails: "load"},
		{name: "outside", ref: "app:5", load: "/etc/passwd", fails: "outside the task's directory"},
		{name: "link to the outside", link: inAllowed, file: "local/l.tar", ref: "app:9", load: "l.tar", fails: "load"},
		{name: "no archive", content: []byte("nonsense"), file: "local/n.tar", ref: "app:7", load: "n.tar", fails: "no OCI or docker archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			task := t.TempDir()
			dirs := drivers.TaskDir{Task: task, Local: filepath.Join(task, "local")}
			if err := os.Mkdir(dirs.Local, 0o700); err != nil {
				t.Fatal(err)
			}
			path := tt.file
			if !filepath.IsAbs(path) {
				path = filepath.Join(task, path)
			}
			var err error
			switch {
			case tt.link != "":
				err = os.Symlink(tt.link, path)
			case tt.file != "":
				err = os.WriteFile(path, tt.content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			ref, err := images.ParseName(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref, Load: tt.load, Dir: dirs})
			switch {
			case tt.fails == "" && err != nil:
				t.Fatal(err)
			case tt.fails == "":
				release()
			case err == nil || !strings.Contains(err.Error(), tt.fails):
				t.Errorf("error %v, want %q", err, tt.fails)
			}
		})
	}
}

// An archive never becomes what others get by its image's name, is read once as long as it
// stays the same, and again when it has changed.
func TestTasksArchiveStaysApart(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	fromHub := build(t, "registry", 10)
	ref := h.push(t, "app:1", fromHub)
	local := t.TempDir()
	req := images.Request{Ref: ref, Load: "a.tar", Dir: drivers.TaskDir{Local: local, Task: local}}
	for _, text := range []string{"mine", "changed"} {
		img := build(t, text, 10)
		if err := os.WriteFile(filepath.Join(local, "a.tar"), ociArchive(t, ref, img), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := get(t, s, req); got.Target().Digest.String() != digestOf(t, img) {
				t.Errorf("%s: got %s, want %s", text, got.Target().Digest, digestOf(t, img))
			}
		}
	}
	if got := get(t, s, images.Request{Ref: ref}); got.Target().Digest.String() != digestOf(t, fromHub) {
		t.Errorf("the registry's is %s", got.Target().Digest)
	}
}
