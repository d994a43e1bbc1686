//go:build linux

package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
)

// zeros is a layer with a file of zeros: a few kilobytes that unpack to size.
func zeros(t *testing.T, size int64) []byte {
	t.Helper()
	return gzipped(t, func(w io.Writer) error {
		files := tar.NewWriter(w)
		if err := files.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o600, Size: size}); err != nil {
			return err
		}
		block := make([]byte, 1<<20)
		for n := int64(0); n < size; n += int64(len(block)) {
			if _, err := files.Write(block); err != nil {
				return err
			}
		}
		return files.Close()
	})
}

// hole is a layer with a sparse file that has nothing but a hole, in GNU's format.
func hole(t *testing.T, size int64) []byte {
	t.Helper()
	return gzipped(t, func(w io.Writer) error {
		h := make([]byte, 512)
		copy(h, "hole")
		for at, n := range map[int]int64{100: 0o600, 108: 0, 116: 0} { // mode, user, group
			copy(h[at:], fmt.Sprintf("%07o\x00", n))
		}
		for at, n := range map[int]int64{124: 0, 136: 0, 386: size, 398: 0, 483: size} { // size, time; offset and length of data, real size
			copy(h[at:], fmt.Sprintf("%011o\x00", n))
		}
		h[156] = 'S'
		copy(h[257:], "ustar  \x00")
		copy(h[148:], "        ")
		sum := 0
		for _, b := range h {
			sum += int(b)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		_, err := w.Write(append(h, make([]byte, 1024)...))
		return err
	})
}

func gzipped(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// with adds a layer to an image.
func with(t *testing.T, img v1.Image, layer []byte) v1.Image {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, l); err != nil {
		t.Fatal(err)
	}
	return img
}

// An image whose layers are small and unpack to more than max_image_bytes is refused before
// anything of it is unpacked, with memory that does not grow; trying again would not help.
func TestLayerBombs(t *testing.T) {
	const bound = 32 << 20
	for name, layer := range map[string][]byte{"zeros": zeros(t, 4*bound), "a hole": hole(t, 4*bound), "just more": zeros(t, bound)} {
		t.Run(name, func(t *testing.T) {
			s, h := newStore(t, images.Config{MaxImage: bound}), newPlainHub(t)
			ref := h.push(t, "app:1", with(t, build(t, name, 1<<10), layer))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := s.Get(containertest.Context(t), images.Request{Ref: ref})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "max_image_bytes") || !strings.Contains(err.Error(), "33554432") || drivers.IsRecoverable(err) {
				t.Errorf("error %v, want one that names the bound, for good", err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > bound/2 {
				t.Errorf("%d bytes were allocated to measure it", grown)
			}
		})
	}
	s, h := newStore(t, images.Config{MaxImage: bound}), newPlainHub(t)
	get(t, s, images.Request{Ref: h.push(t, "app:2", with(t, build(t, "fits", 1<<10), zeros(t, bound/2)))})
}
