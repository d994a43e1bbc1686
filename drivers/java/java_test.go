//go:build linux

package java

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest"
)

var world containertest.World

func TestMain(m *testing.M) { os.Exit(world.Main(m, nil)) }

// pretender says what Java says and does what the test program does, where no Java is needed to
// see how the driver starts one.
const pretender = `#!/bin/sh
if [ "$1" = -version ]; then
	printf 'Picked up something\nopenjdk version "1.2.3_4" 2026-01-01\nPretended Runtime (build 5)\nPretended VM (build 6)\n' >&2
	exit
fi
[ "$1" = -Dcolor=green ] && [ "$2" = -jar ] && [ "$3" = /local/Task.jar ] && [ -r "$3" ] || exit 99
shift 3
while [ $# -gt 0 ]; do
	case $1 in
	exit) exit "$2" ;;
	print) printf %s "$2"; shift ;;
	sleep) exec sleep 3600 ;;
	esac
	shift
done
`

// programs are what is run as Java: the pretender, and the machine's own where it has one.
func programs(t *testing.T) map[string]string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"pretended": filepath.Join(bin, "java")}
	if err := os.WriteFile(all["pretended"], []byte(pretender), 0o755); err != nil {
		t.Fatal(err)
	}
	if own, err := exec.LookPath("java"); err == nil {
		all["own"] = own
	}
	return all
}

func newDriver(t testing.TB, program string) *Driver {
	t.Helper()
	d, err := New(Config{Program: program}, world.Runtime(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(args ...string) map[string]any {
	return map[string]any{"jar_path": "local/Task.jar", "jvm_options": []any{"-Dcolor=green"}, "args": args}
}

func prepare(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	spec.Cgroup = containertest.Cgroup(spec)
	spec.Resources.MemoryBytes = 256 << 20
	jar, err := os.ReadFile("testdata/Task.jar")
	if err == nil {
		err = os.WriteFile(filepath.Join(spec.Dir.Local, "Task.jar"), jar, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	for name, program := range programs(t) {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Harness{
				New:     func(testing.TB) drivers.Driver { return newDriver(t, program) },
				Exit:    func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
				Sleep:   func() map[string]any { return run("sleep") },
				Print:   func(text string) map[string]any { return run("print", text) },
				Prepare: prepare,
				Broken: func() map[string]any {
					c := run("exit", "0")
					c["work_dir"] = "no/absolute/path"
					return c
				},
			})
		})
	}
}

// A Java program sees what its options say.
func TestProgram(t *testing.T) {
	program, ok := programs(t)["own"]
	if !ok {
		return // what can be seen without Java, the contract has shown
	}
	d := newDriver(t, program)
	for name, tt := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"option":     {func(c map[string]any) { c["args"] = []any{"property", "color"} }, "green"},
		"user":       {func(c map[string]any) { c["args"] = []any{"property", "user.name"} }, "nobody"},
		"jar beside": {func(c map[string]any) { c["work_dir"], c["args"] = "/tmp", []any{"property", "user.dir"} }, "/tmp"},
		"class of a jar": {func(c map[string]any) {
			c["class"], c["args"] = "Task", []any{"property", "java.class.path"}
		}, "/local/Task.jar"},
		"class of a class path": {func(c map[string]any) {
			delete(c, "jar_path")
			c["class"], c["class_path"], c["args"] = "Task", "/local/Task.jar", []any{"print", "x", "property", "color"}
		}, "xgreen"},
	} {
		t.Run(name, func(t *testing.T) {
			config := run()
			tt.change(config)
			spec := world.Spec(t, config)
			prepare(t, spec)
			if got := containertest.Output(t, d, spec); got != tt.want {
				t.Errorf("prints %q, want %q", got, tt.want)
			}
		})
	}
}

// Options become the command line in Java's order, and none can pass for another.
func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		config map[string]any
		want   string // with "error: ", a part of the error
	}{
		{map[string]any{"jar_path": "a.jar"}, "-jar /a.jar"},
		{map[string]any{"jar_path": "local/a.jar", "args": []any{"-x", "y"}, "jvm_options": []any{"-Xmx1m"}}, "-Xmx1m -jar /local/a.jar -x y"},
		{map[string]any{"class": "A", "class_path": "/local:/alloc"}, "-cp /local:/alloc A"},
		{map[string]any{"class": "A"}, "A"},
		{map[string]any{"class": "A", "jar_path": "a.jar"}, "-cp /a.jar A"},
		{map[string]any{"class": "A", "jar_path": "a.jar", "class_path": "/local"}, "-cp /local:/a.jar A"},
		{map[string]any{}, "error: missing option: jar_path or class"},
		{map[string]any{"class": "-agentpath:/x"}, `error: class: "-agentpath:/x" begins with "-"`},
		{map[string]any{"class": "@/etc/passwd"}, `error: class: "@/etc/passwd" begins with "@"`},
		{map[string]any{"jar_path": "-version"}, `error: jar_path: "-version" begins with "-"`},
		{map[string]any{"class": "A", "args": 3}, `error: option "args"`},
	} {
		args, err := arguments(drivers.NewOptions(tt.config))
		if part, fails := strings.CutPrefix(tt.want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v: %v, want an error with %q", tt.config, err, part)
			}
		} else if got := strings.Join(args, " "); err != nil || got != tt.want {
			t.Errorf("%v: %q, %v; want %q", tt.config, got, err, tt.want)
		}
	}
}

// The fingerprint says which Java there is, and that there is none.
func TestFingerprint(t *testing.T) {
	d := newDriver(t, programs(t)["pretended"])
	fp, err := d.Fingerprint(containertest.Context(t))
	if err != nil || fp.Health != drivers.Healthy {
		t.Fatalf("%+v, %v", fp, err)
	}
	for name, want := range map[string]string{
		"driver.java": "1", "driver.java.version": "1.2.3_4",
		"driver.java.runtime": "Pretended Runtime (build 5)", "driver.java.vm": "Pretended VM (build 6)",
	} {
		if got := fp.Attributes[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	d.program = "no-such-java"
	if fp, err := d.Fingerprint(containertest.Context(t)); err != nil || fp.Health != drivers.Undetected || !strings.Contains(fp.Reason, "not installed") {
		t.Errorf("without Java: %+v, %v", fp, err)
	}
	for _, out := range []string{"", "java version", "openjdk version \"1\"\none more"} {
		if v, err := parseVersion(out); err == nil {
			t.Errorf("%q is version %+v", out, v)
		}
	}
	if v, err := parseVersion("java version \"1.8.0_412\"\nJava(TM) SE\nHotSpot\n"); err != nil || v.version != "1.8.0_412" || v.vm != "HotSpot" {
		t.Errorf("%+v, %v", v, err)
	}
}
