//go:build linux

package qemu

import (
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
)

// machineSpec is a specification with a port of each kind.
func machineSpec(config map[string]any) *drivers.TaskSpec {
	return &drivers.TaskSpec{
		ID: "a/b/0", Config: config, Resources: drivers.Resources{MemoryBytes: 512 << 20},
		Ports: []drivers.Port{{Label: "ssh", Host: 22000, To: 22, HostIP: "192.0.2.1"}, {Label: "web", Host: 8080, HostIP: "::1"}},
	}
}

// Options become the emulator's command line, each as the value that it is.
func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config map[string]any
		change func(*drivers.TaskSpec)
		image  string
		want   string
	}{
		{name: "least", image: "/local/a.img", want: "-machine type=pc,accel=tcg -name n -m 512M -drive file=/local/a.img,if=ide -nographic"},
		{
			name: "image that would be another drive", image: "/local/a,if=none,file=/etc/shadow",
			want: "-machine type=pc,accel=tcg -name n -m 512M -drive file=/local/a,,if=none,,file=/etc/shadow,if=ide -nographic",
		},
		{
			name: "all", image: "/a",
			config: map[string]any{
				"drive_interface": "virtio", "accelerator": "kvm", "machine_type": "q35", "graceful_shutdown": true, "guest_agent": true,
				"port_map": map[string]any{"ssh": 22, "web": 80}, "args": []any{"-nodefaults", "-vga", "none"},
			},
			want: "-machine type=q35,accel=kvm -name n -m 512M -drive file=/a,if=virtio -nographic" +
				" -monitor unix:/run/monitor/monitor.sock,server=on,wait=off" +
				" -chardev socket,path=/qa.sock,server=on,wait=off,id=qga0 -device virtio-serial -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0" +
				" -cpu host" +
				" -netdev user,id=user.0,hostfwd=tcp:192.0.2.1:22000-:22,hostfwd=udp:192.0.2.1:22000-:22,hostfwd=tcp::8080-:80,hostfwd=udp::8080-:80 -device virtio-net,netdev=user.0" +
				" -nodefaults -vga none",
		},
		{
			name: "ports of a namespace", image: "/a", config: map[string]any{"port_map": map[string]any{"ssh": 2222}},
			change: func(s *drivers.TaskSpec) { s.Network = &drivers.Network{} },
			want: "-machine type=pc,accel=tcg -name n -m 512M -drive file=/a,if=ide -nographic" +
				" -netdev user,id=user.0,hostfwd=tcp::22-:2222,hostfwd=udp::22-:2222 -device virtio-net,netdev=user.0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := map[string]any{"image_path": "x"}
			for k, v := range tt.config {
				config[k] = v
			}
			spec := machineSpec(config)
			if tt.change != nil {
				tt.change(spec)
			}
			cfg := Config{Emulators: []string{usualEmulator}}
			m, err := cfg.read(spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.arguments(tt.image, "n"), " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Nothing in a config block becomes an option that the node did not allow.
func TestRefusals(t *testing.T) {
	node := Config{Emulators: []string{usualEmulator, "qemu-system-aarch64"}, ArgsAllowlist: []string{"-snapshot", "-vga"}}
	for option, tt := range map[string]struct {
		value any
		want  string
	}{
		"image_path":      {"", "missing option: image_path"},
		"color":           {"red", "unknown option: color"},
		"drive_interface": {"ide,readonly=off,file=/etc/shadow", "drive_interface: there is no"},
		"accelerator":     {"tcg,dumpdtb=/x", "accelerator: "},
		"machine_type":    {"-daemonize", "machine_type: "},
		"emulator":        {"../../bin/sh", "emulator: this node allows qemu-system-x86_64, qemu-system-aarch64"},
		"args":            {[]any{"-snapshot", "-vga", "none", "--drive", "file=/etc/shadow"}, `args: this node does not allow "--drive"`},
		"port_map":        {map[string]any{"ssh": "22,hostfwd=tcp::1-:1", "db": 1}, `port_map: ssh: "22,hostfwd=tcp::1-:1" is not a port`},
		"guest_agent":     {"perhaps", `option "guest_agent"`},
	} {
		config := map[string]any{"image_path": "x"}
		config[option] = tt.value
		if _, err := node.read(machineSpec(config)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", option, err, tt.want)
		}
	}
	spec := machineSpec(map[string]any{"image_path": "x", "args": []any{"-snapshot", "--vga", "std"}})
	if _, err := node.read(spec); err != nil {
		t.Errorf("what is allowed is refused: %v", err)
	}
	spec.Resources.MemoryBytes = 64 << 20
	if _, err := node.read(spec); err == nil || !strings.Contains(err.Error(), "memory: 64 MiB is outside") {
		t.Errorf("little memory: %v", err)
	}
	for _, dir := range []string{"images", "/"} {
		if _, err := New(Config{ImagePaths: []string{dir}}, nil); err == nil {
			t.Errorf("image_paths %q is taken", dir)
		}
	}
}
