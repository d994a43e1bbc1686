//go:build linux

package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// world is what all tests of the package share: one runtime, as on a node.
type world struct {
	dir     string // data_dir
	program string // the binary with the runtime in it
	archive string // image of testdata/task
	task    []byte // testdata/task itself
	seccomp bool
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
	os.Exit(inWorld(m))
}

func inWorld(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of this package run containers and need root")
		return 1
	}
	dir, err := os.MkdirTemp("", "nomadish-docker")
	if err == nil {
		err = shared.build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	last, err := engine.New(engine.Config{DataDir: shared.dir, Program: shared.program, Ephemeral: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	end, err := container.New(container.Config{}, last)
	if err == nil {
		err = end.Run(ended)
	}
	err = errors.Join(err, shared.leftovers(), trees.Prune(testGroup()), os.RemoveAll(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "left after all tests:", err)
		if code == 0 {
			code = 1
		}
	}
	return code
}

func (w *world) build(dir string) error {
	w.dir = filepath.Join(dir, "data")
	w.program = filepath.Join(dir, "nomadish")
	w.archive = filepath.Join(dir, "images", "task.tar")
	task := filepath.Join(dir, "task")
	for _, d := range []string{w.dir, filepath.Dir(w.archive)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := goBuild(w.program, "./testdata/nomadish", "CGO_ENABLED=1"); err != nil {
		return err
	}
	if err := goBuild(task, "./testdata/task", "CGO_ENABLED=0"); err != nil {
		return err
	}
	out, err := exec.Command(w.program, "seccomp").Output()
	if err != nil {
		return err
	}
	w.seccomp = strings.TrimSpace(string(out)) == "true"
	if w.task, err = os.ReadFile(task); err != nil {
		return err
	}
	return w.writeImage(w.archive, testImage, archive.Config{Entrypoint: []string{"/task"}})
}

func goBuild(out, pkg, env string) error {
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), env)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// writeImage writes an archive of an image with the test program and a few users.
func (w *world) writeImage(path, name string, cfg archive.Config) error {
	img, err := archive.Build([]archive.File{
		{Path: "/task", Mode: 0o755, Content: w.task},
		{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:\nworker:x:1000:1001::/home:\n")},
		{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nwork:x:1001:\nextra:x:2000:worker\n")},
		{Path: "/srv/file", Mode: 0o644, Content: []byte(name)},
	}, cfg)
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
	e, err := engine.New(engine.Config{DataDir: shared.dir, Program: shared.program, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := docker.Config{
		Notice: shared.notices.add,
		Logger: testLog(t),
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := container.New(container.Config{Seccomp: shared.seccomp, Logger: testLog(t)}, e)
	if err != nil {
		t.Fatal(err)
	}
	store, err := images.New(images.Config{Archives: []string{filepath.Dir(shared.archive)}, Logger: testLog(t)}, r)
	if err != nil {
		t.Fatal(err)
	}
	d := docker.New(cfg, r, store)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return d
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// run is a config block that has the test program do what the arguments say.
func run(args ...string) map[string]any {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return map[string]any{"image": testImage, "load": shared.archive, "args": list}
}

// with adds an option to a config block.
func with(config map[string]any, option string, value any) map[string]any {
	config[option] = value
	return config
}

// taskSpec is a specification whose control group is below the tests' own.
func taskSpec(t testing.TB, config map[string]any) *drivers.TaskSpec {
	t.Helper()
	spec := drivertest.Spec(t, config)
	spec.Cgroup = groupOf(spec)
	return spec
}

// testGroup holds the control groups of this run's tasks.
func testGroup() string { return fmt.Sprintf("nomadish-docker-test-%d", os.Getpid()) }

func groupOf(spec *drivers.TaskSpec) string { return testGroup() + "/" + spec.Key() }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), drivertest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// start starts a task and sees to its removal.
func start(t testing.TB, d *docker.Driver, spec *drivers.TaskSpec) *drivers.Handle {
	t.Helper()
	h, err := d.Start(testContext(t), spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Remove(testContext(t), h); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
	return h
}

func wait(t testing.TB, d *docker.Driver, h *drivers.Handle) drivers.Exit {
	t.Helper()
	exit, err := d.Wait(testContext(t), h)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return exit
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// ready waits until the task has said that it listens.
func ready(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	eventually(t, "the task is ready", func() bool { return strings.Contains(read(t, spec.Stdout), "ready") })
}

// leftovers says what of the runtime is still on the machine.
func (w *world) leftovers() error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	errs = append(errs, err)
	run := engineRun(w)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && (strings.HasPrefix(f[4], run) || strings.HasPrefix(f[4], w.dir)) {
			errs = append(errs, fmt.Errorf("mount %s", f[4]))
		}
	}
	for pid, exe := range processes() {
		if exe == w.program || exe == "/task" {
			errs = append(errs, fmt.Errorf("process %s of %s", pid, exe))
		}
	}
	if _, err := os.Stat(run); err == nil {
		errs = append(errs, fmt.Errorf("directory %s", run))
	}
	return errors.Join(append(errs, groups())...)
}

// groups finds control groups of tasks.
func groups() error {
	var errs []error
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && filepath.Base(filepath.Dir(path)) == testGroup() {
			errs = append(errs, fmt.Errorf("control group %s", path))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// processes returns the executable of each process by pid, as the process itself sees it.
func processes() map[string]string {
	out := map[string]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil {
			out[strings.Split(link, "/")[2]] = exe
		}
	}
	return out
}

func engineRun(w *world) string {
	e, err := engine.New(engine.Config{DataDir: w.dir, Program: w.program})
	if err != nil {
		return ""
	}
	return e.Layout().Run
}
