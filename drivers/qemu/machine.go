//go:build linux

package qemu

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/nomadish"
)

func schema() drivers.Schema {
	return drivers.Schema{
		"image_path":        {Type: nomadish.ConfigString, Required: true, Doc: "The disk image, relative to the task's directory, or in a directory that the node allows."},
		"drive_interface":   {Type: nomadish.ConfigString, Default: "ide", Doc: "How the image is attached: ide, scsi, sd, mtd, floppy, pflash, virtio or none."},
		"accelerator":       {Type: nomadish.ConfigString, Default: "tcg", Doc: "tcg, or kvm where the processor can."},
		"machine_type":      {Type: nomadish.ConfigString, Default: "pc", Doc: "The machine to emulate."},
		"emulator":          {Type: nomadish.ConfigString, Default: usualEmulator, Doc: "The emulator; the node must allow it."},
		"graceful_shutdown": {Type: nomadish.ConfigBool, Default: "false", Doc: "Press the machine's power button, and wait kill_timeout, before it is ended."},
		"guest_agent":       {Type: nomadish.ConfigBool, Default: "false", Doc: "Give the machine a port for the guest agent: the socket qa.sock in the task's directory."},
		"port_map":          {Type: nomadish.ConfigStringMap, Doc: "Ports of the machine by the labels of the group's ports."},
		"args":              {Type: nomadish.ConfigStringList, Doc: "More arguments of the emulator; the node must allow their options."},
	}
}

// machine is a task's config block, read and checked.
type machine struct {
	image       string
	drive       string
	accelerator string
	kind        string
	emulator    string
	graceful    bool
	agent       bool
	forwards    []string
	memory      int64 // MiB
	args        []string
}

// The bounds of a machine's memory in MiB.
const (
	minMemory = 128
	maxMemory = 4_000_000
)

// word is a name that cannot be more than one option's value.
var word = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// read reads a task's config block. The error names every fault.
func (c *Config) read(spec *drivers.TaskSpec) (*machine, error) {
	o := drivers.NewOptions(spec.Config)
	m := &machine{
		image: o.String("image_path"), drive: cmp.Or(o.String("drive_interface"), "ide"),
		accelerator: cmp.Or(o.String("accelerator"), "tcg"), kind: cmp.Or(o.String("machine_type"), "pc"),
		emulator: cmp.Or(o.String("emulator"), usualEmulator), graceful: o.Bool("graceful_shutdown"),
		agent: o.Bool("guest_agent"), memory: spec.Resources.MemoryBytes >> 20, args: o.Strings("args"),
	}
	errs := []error{sandbox.CheckNames(schema(), spec.Config)}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.ContainsAny(m.image, "\x00\n") {
		fault("image_path: %q has a line break or a zero byte", m.image)
	}
	if !slices.Contains([]string{"ide", "scsi", "sd", "mtd", "floppy", "pflash", "virtio", "none"}, m.drive) {
		fault("drive_interface: there is no %q", m.drive)
	}
	for _, named := range [][2]string{{"accelerator", m.accelerator}, {"machine_type", m.kind}} {
		if !word.MatchString(named[1]) {
			fault("%s: %q is not a name", named[0], named[1])
		}
	}
	if !slices.Contains(c.Emulators, m.emulator) || filepath.Base(m.emulator) != m.emulator {
		fault("emulator: this node allows %s, not %q", strings.Join(c.Emulators, ", "), m.emulator)
	}
	if m.memory < minMemory || m.memory > maxMemory {
		fault("memory: %d MiB is outside %d to %d", m.memory, minMemory, maxMemory)
	}
	for _, a := range m.args {
		if option := "-" + strings.TrimLeft(a, "-"); len(c.ArgsAllowlist) > 0 && strings.HasPrefix(a, "-") &&
			!slices.Contains(c.ArgsAllowlist, option) && !slices.Contains(c.ArgsAllowlist, "-"+option) {
			fault("args: this node does not allow %q", a)
		}
		if strings.ContainsRune(a, 0) {
			fault("args: %q has a zero byte", a)
		}
	}
	var err error
	m.forwards, err = forwards(o.Map("port_map"), spec)
	return m, errors.Join(append([]error{o.Err(), err}, errs...)...)
}

// forwards are the ports of the machine that can be reached from outside: tcp and udp.
func forwards(guest map[string]string, spec *drivers.TaskSpec) ([]string, error) {
	ports := map[string]drivers.Port{}
	for _, p := range spec.Ports {
		ports[p.Label] = p
	}
	var out []string
	var errs []error
	for _, label := range slices.Sorted(maps.Keys(guest)) {
		n, err := strconv.ParseUint(guest[label], 10, 16)
		p, granted := ports[label]
		switch {
		case err != nil || n == 0:
			errs = append(errs, fmt.Errorf("port_map: %s: %q is not a port", label, guest[label]))
			continue
		case !granted:
			errs = append(errs, fmt.Errorf("port_map: the group has no port %q", label))
			continue
		}
		port, address := p.Host, ""
		if spec.Network != nil { // the host's port leads to this one of the namespace
			port = cmp.Or(p.To, p.Host)
		} else if ip, err := netip.ParseAddr(p.HostIP); err == nil && ip.Is4() {
			address = ip.String()
		}
		for _, protocol := range []string{"tcp", "udp"} {
			out = append(out, fmt.Sprintf("hostfwd=%s:%s:%d-:%d", protocol, address, port, n))
		}
	}
	return out, errors.Join(errs...)
}

// arguments is the emulator's command line. In values of several parts a comma of a path is
// written twice, so that it does not begin another part.
func (m *machine) arguments(image, name string) []string {
	args := []string{
		"-machine", "type=" + m.kind + ",accel=" + m.accelerator,
		"-name", name,
		"-m", strconv.FormatInt(m.memory, 10) + "M",
		"-drive", "file=" + strings.ReplaceAll(image, ",", ",,") + ",if=" + m.drive,
		"-nographic",
	}
	if m.graceful {
		args = append(args, "-monitor", "unix:"+monitorPath+",server=on,wait=off")
	}
	if m.agent {
		args = append(args,
			"-chardev", "socket,path=/qa.sock,server=on,wait=off,id=qga0",
			"-device", "virtio-serial",
			"-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0")
	}
	if m.accelerator == "kvm" {
		args = append(args, "-cpu", "host")
	}
	if len(m.forwards) > 0 {
		args = append(args,
			"-netdev", "user,id=user.0,"+strings.Join(m.forwards, ","),
			"-device", "virtio-net,netdev=user.0")
	}
	return append(args, m.args...)
}

// find returns the path of an emulator on the host, with all links resolved.
func find(emulator string) (string, error) {
	program, err := exec.LookPath(emulator)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(program)
}

// versionOf asks an emulator what it is.
func versionOf(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	return string(bytes.TrimSpace(out)), err
}
