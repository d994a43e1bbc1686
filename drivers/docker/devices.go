//go:build linux

package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
)

// maxDevices bounds the devices of one task, those in directories counted.
const maxDevices = 1024

// device is one device, or directory of devices, of the host that a task wants.
type device struct {
	host, inside, access string
}

// readDevices takes devices as blocks, or, in job files of containerd-driver, as lines.
func (s *settings) readDevices(o drivers.Options, c *Config, lines bool) error {
	var errs []error
	var wanted []device
	if lines {
		for _, line := range o.Strings("devices") {
			parts := append(strings.SplitN(line, ":", 3), "", "")
			wanted = append(wanted, device{host: parts[0], inside: parts[1], access: parts[2]})
		}
	} else {
		for _, b := range o.Blocks("devices") {
			wanted = append(wanted, device{
				host: b.String("host_path"), inside: b.String("container_path"), access: b.String("cgroup_permissions"),
			})
		}
	}
	for i, d := range wanted {
		if d.inside == "" {
			d.inside = d.host
		}
		if d.access == "" {
			d.access = "rwm"
		}
		if err := d.check(c.AllowDevices); err != nil {
			errs = append(errs, fmt.Errorf("devices[%d]: %w", i, err))
			continue
		}
		s.devices = append(s.devices, device{filepath.Clean(d.host), path.Clean(d.inside), d.access})
	}
	return errors.Join(errs...)
}

func (d device) check(allowed []string) error {
	if strings.Trim(d.access, "rwm") != "" || len(d.access) > 3 {
		return fmt.Errorf("cgroup_permissions: %q is not of r, w and m", d.access)
	}
	if !path.IsAbs(d.inside) || strings.ContainsAny(d.inside, "\x00\n") {
		return fmt.Errorf("container_path: %q is no absolute path", d.inside)
	}
	host := filepath.Clean(d.host)
	if rel, ok := below("/dev", host); !ok || rel == "." || strings.ContainsAny(host, "\x00\n") {
		return fmt.Errorf("host_path: %q is not below /dev", d.host)
	}
	if allowed == nil {
		return nil
	}
	for _, pattern := range allowed {
		if ok, err := filepath.Match(pattern, host); err == nil && ok {
			return nil
		}
	}
	return fmt.Errorf("host_path: this node does not allow %s (allow_devices)", host)
}

// found is a device that a task gets.
type found struct {
	specs.LinuxDevice
	host string // its path there
}

// devicesOf finds the devices: of a directory, all in it.
func devicesOf(wanted []device) ([]found, []specs.LinuxDeviceCgroup, error) {
	var all []found
	var rules []specs.LinuxDeviceCgroup
	for _, w := range wanted {
		err := filepath.WalkDir(resolved(w.host), func(at string, e fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("devices: %w", err)
			}
			if e.IsDir() {
				return nil
			}
			rel, err := filepath.Rel(resolved(w.host), at)
			if err != nil {
				return err
			}
			inside := path.Join(w.inside, rel)
			dev, err := deviceAt(at, inside)
			if err != nil || dev == nil {
				if at == resolved(w.host) {
					return errors.Join(fmt.Errorf("devices: %s is no device", w.host), err)
				}
				return err
			}
			if len(all) == maxDevices {
				return fmt.Errorf("devices: more than the limit of %d", maxDevices)
			}
			all = append(all, found{*dev, at})
			rules = append(rules, specs.LinuxDeviceCgroup{
				Allow: true, Type: dev.Type, Major: &dev.Major, Minor: &dev.Minor, Access: w.access,
			})
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return all, rules, nil
}

// resolved follows a link such as /dev/cdrom; what leads out of /dev is no device of it.
func resolved(host string) string {
	real, err := filepath.EvalSymlinks(host)
	if _, ok := below("/dev", real); err != nil || !ok {
		return host
	}
	return real
}

// deviceAt describes the device at a path; there may be none.
func deviceAt(host, inside string) (*specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		return nil, fmt.Errorf("devices: %s: %w", host, err)
	}
	kinds := map[uint32]string{unix.S_IFBLK: "b", unix.S_IFCHR: "c"}
	kind, ok := kinds[st.Mode&unix.S_IFMT]
	if !ok {
		return nil, nil
	}
	mode := fs.FileMode(st.Mode &^ unix.S_IFMT)
	return &specs.LinuxDevice{
		Path: inside, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)),
		FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
	}, nil
}

// addDevices puts devices into a specification in place of others at the same paths. A task
// with users of its own can make none: it gets those of the host, as mounts, and they belong to
// nobody there.
func addDevices(s *specs.Spec, all []found, rules []specs.LinuxDeviceCgroup, mounted bool) {
	s.Linux.Devices = slices.DeleteFunc(s.Linux.Devices, func(d specs.LinuxDevice) bool {
		return slices.ContainsFunc(all, func(f found) bool { return f.Path == d.Path })
	})
	for _, f := range all {
		if mounted {
			s.Mounts = append(s.Mounts, container.Bind(f.host, f.Path, false, "rprivate"))
		} else {
			s.Linux.Devices = append(s.Linux.Devices, f.LinuxDevice)
		}
	}
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, rules...)
}

// checkOpen refuses devices that only their owner and group on the host can open: a task with
// users of its own is neither.
func checkOpen(all []found) error {
	for _, f := range all {
		if *f.FileMode&0o006 == 0 {
			return fmt.Errorf("devices: a task with users of its own can't open %s, which is its owner's on the host; userns_mode = \"host\" leaves those out", f.host)
		}
	}
	return nil
}
