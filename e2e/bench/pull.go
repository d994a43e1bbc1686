//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// pulls measures containers whose image is in a registry on loopback.
func (b *bench) pulls(ctx context.Context) error {
	const size, count = 50_000_000, 5
	program, err := machine.Build(ctx, b.dir, "./e2e/faults/counter")
	if err != nil {
		return err
	}
	store := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer store.Close()
	host := strings.TrimPrefix(store.URL, "http://")
	for i := range count {
		if err := push(ctx, fmt.Sprintf("%s/large:%d", host, i), program, byte(i), size); err != nil {
			return err
		}
	}
	plain := map[string]any{"plain_http": []string{host}}
	return b.with(ctx, "pulls", machine.Config{Docker: plain}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		var took []time.Duration
		for i := range count {
			job := machine.Job(fmt.Sprintf("large-%d", i), nomadish.JobTypeService, "docker",
				map[string]any{"image": fmt.Sprintf("%s/large:%d", host, i), "args": []any{"-every", "1h"}})
			begin := time.Now()
			if _, err := n.Register(ctx, job); err != nil {
				return err
			}
			if err := runs(ctx, n, *job.ID); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		b.add(fmt.Sprintf("container of a 50 MB image in a registry, submit to running, %d jobs: p50", count), ms(percentile(took, 50)), 1000, "ms")
		return nil
	})
}

// push puts an image of a program and a large layer that does not compress into a registry.
func push(ctx context.Context, ref, program string, seed byte, size int) error {
	code, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	noise := make([]byte, size)
	if _, err := rand.NewChaCha8([32]byte{seed}).Read(noise); err != nil {
		return err
	}
	img, err := mutate.Config(empty.Image, v1.Config{Entrypoint: []string{"/program"}})
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{{"noise", noise}, {"program", code}} {
		layer, err := layerOf(file.name, file.content)
		if err != nil {
			return err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return err
		}
	}
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, img, remote.WithContext(ctx))
}

// layerOf returns a layer with one file.
func layerOf(path string, content []byte) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
}
