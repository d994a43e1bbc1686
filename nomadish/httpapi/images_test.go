package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// imagesOf keeps the archives that it was given, by name.
type imagesOf map[string]string

func (f imagesOf) List(context.Context) ([]*nomadish.NodeImage, error) {
	var out []*nomadish.NodeImage
	for name := range f {
		out = append(out, &nomadish.NodeImage{Name: name})
	}
	return out, nil
}

func (f imagesOf) Load(_ context.Context, r io.Reader, name string) ([]*nomadish.NodeImage, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "archive: %w", err)
	}
	f[name] = string(b)
	return []*nomadish.NodeImage{{Name: name}}, nil
}

func (f imagesOf) Pull(_ context.Context, name string, notify func(*nomadish.ImageProgress)) (*nomadish.NodeImage, error) {
	if name == "missing" {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "not found")
	}
	notify(&nomadish.ImageProgress{Message: "Downloading", Done: 1, Total: 2})
	if name == "cut" {
		return nil, errors.New("cut off")
	}
	return &nomadish.NodeImage{Name: name}, nil
}

func (f imagesOf) Export(_ context.Context, name string, w io.Writer) error {
	content, ok := f[name]
	if !ok {
		return nomadish.Errorf(nomadish.KindNotFound, "image %s is not on this node", name)
	}
	_, err := io.WriteString(w, content)
	return err
}

func (f imagesOf) Remove(_ context.Context, name string, force bool) error {
	if _, ok := f[name]; !ok {
		return nomadish.Errorf(nomadish.KindNotFound, "image %s is not on this node", name)
	}
	if !force {
		return nomadish.Errorf(nomadish.KindConflict, "in use")
	}
	delete(f, name)
	return nil
}

// Images go to and from a node by the client's methods, with names as they are in job files.
func TestImages(t *testing.T) {
	a := newCluster().api(t, func(cfg *Config, back *Backends) { cfg.MaxImages, back.Node.Images = 1000, imagesOf{} })
	const name = "registry.example:5000/me/app@sha256:00"
	for way, cl := range clients(t, a, api.Config{}) {
		t.Run(way, func(t *testing.T) {
			ctx, images := t.Context(), cl.Images()
			if _, err := images.Load(ctx, nodeID, name, strings.NewReader("archive")); err != nil {
				t.Fatal(err)
			}
			if list, err := images.List(ctx, ""); err != nil || len(list) != 1 || list[0].Name != name {
				t.Errorf("list: %v, %v", list, err)
			}
			out, err := images.Export(ctx, nodeID, name)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			if b, err := io.ReadAll(out); string(b) != "archive" || err != nil {
				t.Errorf("export: %q, %v", b, err)
			}
			if err := images.Remove(ctx, nodeID, name, false); nomadish.KindOf(err) != nomadish.KindConflict {
				t.Errorf("remove: %v", err)
			}
			if err := images.Remove(ctx, nodeID, name, true); err != nil {
				t.Errorf("remove: %v", err)
			}
			if _, err := images.Export(ctx, nodeID, name); !errors.Is(err, nomadish.ErrNotFound) {
				t.Errorf("export of what is gone: %v", err)
			}
			if _, err := images.Load(ctx, nodeID, name, strings.NewReader(strings.Repeat("x", 1001))); nomadish.KindOf(err) != nomadish.KindTooLarge {
				t.Errorf("too large: %v", err)
			}
			checkPull(t, images)
		})
	}
}

func checkPull(t *testing.T, images api.Images) {
	t.Helper()
	var told []nomadish.ImageProgress
	notify := func(p *nomadish.ImageProgress) { told = append(told, *p) }
	img, err := images.Pull(t.Context(), nodeID, "app:1", notify)
	if err != nil || img.Name != "app:1" || len(told) != 1 || told[0].Total != 2 {
		t.Errorf("pull: %v, %v, %v", img, told, err)
	}
	if _, err := images.Pull(t.Context(), nodeID, "missing", nil); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if _, err := images.Pull(t.Context(), nodeID, "cut", nil); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %v", err)
	}
}

// A node without a driver that keeps images says so.
func TestNoImages(t *testing.T) {
	a := newCluster().api(t)
	for _, r := range [][2]string{
		{http.MethodGet, "/v1/client/images"},
		{http.MethodPut, "/v1/client/images"},
		{http.MethodPut, "/v1/client/image/a/pull"},
		{http.MethodGet, "/v1/client/image/a/export"},
		{http.MethodDelete, "/v1/client/image/a"},
	} {
		if got := ask(t, a, r[0], r[1], ""); got.status != http.StatusBadRequest || !strings.Contains(got.body, "no driver that keeps images") {
			t.Errorf("%s %s: %d %s", r[0], r[1], got.status, got.body)
		}
	}
}
