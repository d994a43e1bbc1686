//go:build linux

package qemu

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest"
)

var world containertest.World

// own is the machine's own emulator, if it has one; the tests put the stand-in before it.
var own string

func TestMain(m *testing.M) {
	os.Exit(world.Main(m, func() error {
		own, _ = exec.LookPath(usualEmulator)
		dir := filepath.Join(world.Root, "bin")
		if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil {
			return err
		}
		return containertest.Build(filepath.Join(dir, usualEmulator), "./testdata/machine", "CGO_ENABLED=0")
	}))
}

func newDriver(t testing.TB, cfg Config) *Driver {
	t.Helper()
	d, err := New(cfg, world.Runtime(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// image is a config block with the image that prepare makes, and a program for the stand-in.
func image(words ...string) map[string]any {
	return map[string]any{"image_path": "local/disk,if=none.img", "args": []any{"-program", strings.Join(words, "|")}}
}

func prepare(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	spec.Cgroup = containertest.Cgroup(spec)
	spec.Resources.MemoryBytes = 128 << 20
	if err := os.WriteFile(filepath.Join(spec.Dir.Local, "disk,if=none.img"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:     func(testing.TB) drivers.Driver { return newDriver(t, Config{}) }, // until the suite ends
		Exit:    func(code int) map[string]any { return image("exit", strconv.Itoa(code)) },
		Sleep:   func() map[string]any { return image("sleep") },
		Print:   func(text string) map[string]any { return image("print", text) },
		Prepare: func(t testing.TB, spec *drivers.TaskSpec) { prepare(t, spec) },
		Broken:  func() map[string]any { return map[string]any{"image_path": "local/no-such.img"} },
	})
}

// An emulator is root without capabilities, sees the image and the task's directories, and
// nothing of the host's.
func TestMachineSeesItsWorld(t *testing.T) {
	images := t.TempDir()
	for name, content := range map[string]string{"disk.img": "cat|" + images + "/base.img|overwrite|changed", "base.img": "base"} {
		if err := os.WriteFile(filepath.Join(images, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := newDriver(t, Config{ImagePaths: []string{images}})
	for name, tt := range map[string]struct {
		config map[string]any
		want   string
	}{
		"user":           {image("status", "Uid"), "Uid: 0 0 0 0"},
		"capabilities":   {image("status", "CapBnd"), "CapBnd: 0000000000000000"},
		"privileges":     {image("status", "NoNewPrivs"), "NoNewPrivs: 1"},
		"files":          {image("cat", "/etc/shadow"), "open /etc/shadow: no such file or directory"},
		"image of node":  {map[string]any{"image_path": images + "/disk.img"}, "base<nil><nil>"},
		"own image":      {image("overwrite", "x"), "<nil>"},
		"more arguments": {image("args"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := world.Spec(t, tt.config)
			prepare(t, spec)
			got := containertest.Output(t, d, spec)
			if name == "more arguments" {
				tt.want = "-machine type=pc,accel=tcg -name " + spec.Key() + " -m 128M -drive file=/local/disk,,if=none.img,if=ide -nographic -program args"
			}
			if got != tt.want {
				t.Errorf("prints %q, want %q", got, tt.want)
			}
		})
	}
	if got := containertest.Read(t, images+"/disk.img"); got != "changed" {
		t.Errorf("the image of the node holds %q", got)
	}
}

// With graceful_shutdown the power button is pressed before anything is killed.
func TestGracefulShutdown(t *testing.T) {
	d := newDriver(t, Config{})
	config := image("print", "ready", "sleep")
	config["graceful_shutdown"] = true
	spec := world.Spec(t, config)
	prepare(t, spec)
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	if err := d.Stop(containertest.Context(t), h, "", drivertest.Patience); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Wait(t, d, h); !exit.Successful() {
		t.Errorf("exit %+v", exit)
	}
	if got := drivertest.Said(t, spec.Stdout); got != "readypowered down\n" {
		t.Errorf("output %q", got)
	}
}

// A link or a file in the place of the monitor's socket leads nowhere.
func TestMonitorIsNoLink(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.sock")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, make := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"link":    func(path string) error { return os.Symlink(other, path) },
		"file":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "monitor.sock")); err != nil {
			t.Fatal(err)
		}
		if err := powerDown(t.Context(), dir); err == nil {
			t.Errorf("%s: taken for a monitor", name)
		}
	}
}

// A real emulator boots a real disk: a boot sector that turns the power button on, says that it
// is ready on the serial line, and turns the machine off when the button is pressed.
func TestRealMachine(t *testing.T) {
	if own == "" {
		return // the stand-in has shown what needs no emulator
	}
	t.Setenv("PATH", filepath.Dir(own))
	d := newDriver(t, Config{})
	fp, err := d.Fingerprint(containertest.Context(t))
	if err != nil || fp.Health != drivers.Healthy || fp.Attributes["driver.qemu.version"] == "" {
		t.Fatalf("fingerprint %+v, %v", fp, err)
	}
	spec := world.Spec(t, map[string]any{"image_path": "local/disk.img", "graceful_shutdown": true, "guest_agent": true})
	spec.Cgroup, spec.Resources.MemoryBytes = containertest.Cgroup(spec), 128<<20
	if err := os.WriteFile(filepath.Join(spec.Dir.Local, "disk.img"), bootSector(), 0o644); err != nil {
		t.Fatal(err)
	}
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	if _, err := os.Stat(filepath.Join(spec.Dir.Task, "qa.sock")); err != nil {
		t.Errorf("guest agent: %v", err)
	}
	if err := d.Stop(containertest.Context(t), h, "", 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Wait(t, d, h); !exit.Successful() {
		t.Errorf("exit %+v\n%s%s", exit, drivertest.Said(t, spec.Stdout), drivertest.Said(t, spec.Stderr))
	}
}

// bootSector is the program of TestRealMachine, for the registers of the machine pc.
func bootSector() []byte {
	code := []byte{
		0x31, 0xc0, 0x8e, 0xd8, 0xfc, // ax, ds = 0; upwards
		0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // enable the power button's event
		0xbe, 0x2d, 0x7c, 0xba, 0xf8, 0x03, // si = text, dx = serial line
		0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, // write until the zero
		0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xfa, // wait for the event
		0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // off
		0xf4, 0xeb, 0xfd, // halt
	}
	sector := make([]byte, 1<<20)
	copy(sector, append(code, "ready\n\x00"...))
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}
