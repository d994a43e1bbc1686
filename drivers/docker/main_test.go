//go:build linux

package docker_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// world is what all tests of the package share: one runtime, as on a node.
type world struct {
	containertest.World
	archive string // image of the test program
	task    []byte // the test program
	notices notices
}

const testImage = "nomadish.dev/task:1"

// notices collects what the driver tells of tasks.
type notices struct {
	mu   sync.Mutex
	said map[string][]string
}

func (n *notices) add(id, message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.said == nil {
		n.said = map[string][]string{}
	}
	n.said[id] = append(n.said[id], message)
}

func (n *notices) of(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.said[id], "\n")
}

var shared world

// TestMain builds the runtime and a task, runs the tests on them, and sees that at the end
// nothing is left on the machine.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, unset := range map[string]string{"test.list": "", "test.fuzz": "", "test.fuzzworker": "false"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != unset {
			os.Exit(m.Run()) // nothing that needs the runtime
		}
	}
	os.Exit(shared.Main(m, shared.prepare))
}

func (w *world) prepare() (err error) {
	w.archive = filepath.Join(w.Root, "images", "task.tar")
	if err := os.Mkdir(filepath.Dir(w.archive), 0o700); err != nil {
		return err
	}
	if w.task, err = os.ReadFile(w.Task); err != nil {
		return err
	}
	return w.writeImage(w.archive, testImage, archive.Config{Entrypoint: []string{"/task"}})
}

// writeImage writes an archive of an image with the test program and a few users.
func (w *world) writeImage(path, name string, cfg archive.Config, more ...archive.File) error {
	img, err := archive.Build(slices.Concat([]archive.File{
		{Path: "/task", Mode: 0o755, Content: w.task},
		{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:\nworker:x:1000:1001::/home:\n")},
		{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nwork:x:1001:\nextra:x:2000:worker\n")},
		{Path: "/srv/file", Mode: 0o644, Content: []byte(name)},
	}, more), cfg)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := archive.Write(&b, name, img); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// newDriver opens a driver on the shared runtime, as an agent does.
func newDriver(t testing.TB, change ...func(*docker.Config)) *docker.Driver {
	t.Helper()
	cfg := docker.Config{Notice: shared.notices.add, Logger: containertest.Log(t)}
	for _, f := range change {
		f(&cfg)
	}
	r := shared.Runtime(t)
	store, err := images.New(images.Config{
		Archives: []string{filepath.Dir(shared.archive)}, Logger: containertest.Log(t),
	}, r)
	if err != nil {
		t.Fatal(err)
	}
	return docker.New(cfg, r, store)
}

// run is a config block that has the test program do what the arguments say.
func run(args ...string) map[string]any {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return map[string]any{"image": testImage, "load": shared.archive, "args": list}
}

// with adds options to a config block, given as name and value in turn.
func with(config map[string]any, more ...any) map[string]any {
	for i := 0; i < len(more); i += 2 {
		config[more[i].(string)] = more[i+1]
	}
	return config
}

func taskSpec(t testing.TB, config map[string]any) *drivers.TaskSpec { return shared.Spec(t, config) }

func testContext(t testing.TB) context.Context { return containertest.Context(t) }

func start(t testing.TB, d drivers.Driver, spec *drivers.TaskSpec) *drivers.Handle {
	t.Helper()
	return containertest.Start(t, d, spec)
}

func wait(t testing.TB, d drivers.Driver, h *drivers.Handle) drivers.Exit {
	t.Helper()
	return containertest.Wait(t, d, h)
}

func output(t testing.TB, d drivers.Driver, spec *drivers.TaskSpec) string {
	t.Helper()
	return containertest.Output(t, d, spec)
}

func read(t testing.TB, path string) string {
	t.Helper()
	return containertest.Read(t, path)
}

func ready(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	containertest.Ready(t, spec)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	containertest.Eventually(t, what, ok)
}
