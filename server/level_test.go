package server_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

var writeLevel = flag.Bool("write-level", false, "write the data directory of the present level where it lacks")

// levelID is the identity of the server whose data directory is kept.
const levelID = "11111111-1111-4111-8111-111111111111"

// alone is the network of a server without others.
type alone struct{}

func (alone) Dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

func (alone) Accept(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// runLone runs a server on a data directory while use runs.
func runLone(t *testing.T, dir string, use func(ctx context.Context, s *server.Server)) {
	t.Helper()
	s, err := server.New(server.Config{
		ID: levelID, Dir: dir, Bootstrap: []string{levelID}, Consensus: consensus.Config{SegmentSize: 64 << 10},
	}, alone{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for !s.Consensus().IsLeader() {
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	use(ctx, s)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// fillLevel writes a snapshot and a log behind it.
func fillLevel(t *testing.T, dir string) {
	runLone(t, dir, func(ctx context.Context, s *server.Server) {
		e := s.Endpoint()
		node := &nomadish.Node{
			ID: "22222222-2222-4222-8222-222222222222", SecretID: "33333333-3333-4333-8333-333333333333", Name: "n", Datacenter: "dc1",
			NodePool: "default", Attributes: map[string]string{"driver.mock_driver": "1"},
			Drivers: map[string]*nomadish.DriverInfo{"mock_driver": {Detected: true, Healthy: true}},
			NodeResources: &nomadish.NodeResources{
				Cpu: nomadish.NodeCpuResources{CpuShares: 4000}, Memory: nomadish.NodeMemoryResources{MemoryMB: 4000},
				Disk: nomadish.NodeDiskResources{DiskMB: 10_000},
			},
		}
		if _, err := e.RegisterNode(ctx, node); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"before", "after"} {
			job := nomadish.NewJob(id, nomadish.JobTypeService, &nomadish.Task{Name: "task", Driver: "mock_driver"})
			if _, _, err := e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: job}); err != nil {
				t.Fatal(err)
			}
			waitPlaced(ctx, t, s, id)
			if id == "before" {
				if err := s.Consensus().Snapshot(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func waitPlaced(ctx context.Context, t *testing.T, s *server.Server, job string) {
	t.Helper()
	for {
		for a := range s.Store().Reader().AllocationsByJob(nil, "default", job) {
			if a.Job == nil && a.TaskGroup == job {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("job %s was not placed", job)
		case <-time.After(time.Millisecond):
		}
	}
}

// A data directory of every level that was ever written opens, with what was in it.
func TestDataOfEarlierLevelsOpens(t *testing.T) {
	archive := filepath.Join("testdata", "level-1.tar.gz")
	if _, err := os.Stat(archive); errors.Is(err, fs.ErrNotExist) && *writeLevel {
		dir := t.TempDir()
		fillLevel(t, dir)
		pack(t, dir, archive)
	}
	dir := t.TempDir()
	unpack(t, archive, dir)
	runLone(t, dir, func(ctx context.Context, s *server.Server) {
		r := s.Store().Reader()
		if r.Level() < 1 || r.ClusterID() == "" {
			t.Errorf("level %d, cluster %q", r.Level(), r.ClusterID())
		}
		for _, id := range []string{"before", "after"} {
			if _, err := r.Job(nil, "default", id); err != nil {
				t.Error(err)
			}
			waitPlaced(ctx, t, s, id)
		}
		if _, err := r.Node(nil, "22222222-2222-4222-8222-222222222222"); err != nil {
			t.Error(err)
		}
	})
}

func pack(t *testing.T, dir, archive string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(file)
	files := tar.NewWriter(zipped)
	err = errors.Join(files.AddFS(os.DirFS(dir)), files.Close(), zipped.Close(), file.Close())
	if err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for files := tar.NewReader(zipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = unpackOne(root, h, files)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackOne(root *os.Root, h *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	if h.FileInfo().IsDir() {
		return root.MkdirAll(name, 0o700)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
