//go:build linux

package docker

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/drivers"
)

// volumeKind is what a volume is made of.
type volumeKind string

const (
	bindVolume  volumeKind = "bind"
	namedVolume volumeKind = "volume"
	tmpfsVolume volumeKind = "tmpfs"
)

// maxVolumes bounds the mounts of one task.
const maxVolumes = 256

// volume is one mount that a task asks for.
type volume struct {
	kind        volumeKind
	option      string // where it is written, for errors
	place       place  // bind: where the source lies
	source      string // bind: a path; named: a name, empty for one of the task alone
	target      string
	readOnly    bool
	propagation string // bind: rprivate and its like
	create      bool   // bind: make a directory where there is nothing
	noCopy      bool   // named: without what the image has at the target
	size        int64  // tmpfs: bytes; 0: no bound but the task's memory
	mode        uint32 // tmpfs: of its root
}

// ownTargets are mounted by the agent: a task has them in any case.
var ownTargets = []string{"/alloc", "/local", "/secrets"}

// readVolumes takes the mounts from volumes, mount and mounts.
func (s *settings) readVolumes(o drivers.Options) error {
	var errs []error
	for i, line := range o.Strings("volumes") {
		v, err := parseVolume(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("volumes[%d]: %w", i, err))
			continue
		}
		v.option = fmt.Sprintf("volumes[%d]", i)
		s.volumes = append(s.volumes, v)
	}
	for _, name := range []string{"mount", "mounts"} {
		for i, b := range o.Blocks(name) {
			v, notes, err := readMount(b)
			v.option = fmt.Sprintf("%s[%d]", name, i)
			for _, n := range notes {
				s.notices = append(s.notices, v.option+"."+n)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", v.option, err))
				continue
			}
			s.volumes = append(s.volumes, v)
		}
	}
	if len(s.volumes) > maxVolumes {
		errs = append(errs, fmt.Errorf("volumes and mount: %d are more than the limit of %d", len(s.volumes), maxVolumes))
	}
	targets := map[string]bool{}
	for _, v := range s.volumes {
		if targets[v.target] {
			errs = append(errs, fmt.Errorf("%s: %s is a target twice", v.option, v.target))
		}
		targets[v.target] = true
	}
	return errors.Join(errs...)
}

// parseVolume reads SOURCE:TARGET or SOURCE:TARGET:MODE; the mode is a list of words.
func parseVolume(line string) (volume, error) {
	parts := strings.Split(line, ":")
	v := volume{kind: bindVolume, propagation: "rprivate", create: true}
	switch {
	case len(parts) == 1:
		v.kind, v.target = namedVolume, parts[0] // a volume of the task alone, as images have
	case len(parts) == 2, len(parts) == 3:
		v.source, v.target = parts[0], parts[1]
		if v.source == "" {
			return v, fmt.Errorf("%q has no source", line)
		}
	default:
		return v, fmt.Errorf("%q is not SOURCE:TARGET or SOURCE:TARGET:MODE", line)
	}
	if len(parts) == 3 {
		for word := range strings.SplitSeq(parts[2], ",") {
			if err := v.setMode(word); err != nil {
				return v, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	return v, v.check()
}

// setMode takes one word of a mode. Those of SELinux relabel for its containers, which ours
// are not; those of consistency are for machines with a virtual one in between.
func (v *volume) setMode(word string) error {
	switch word {
	case "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated", "rbind", "":
	case "ro":
		v.readOnly = true
	case "private", "rprivate", "shared", "rshared", "slave", "rslave":
		v.propagation = "r" + strings.TrimPrefix(word, "r")
	default:
		return fmt.Errorf("mode %q is not known: ro, rw, z, Z or a propagation", word)
	}
	return nil
}

// readMount reads a mount block.
func readMount(b drivers.Options) (v volume, notes []string, err error) {
	v = volume{
		kind: namedVolume, source: b.String("source"), target: b.String("target"),
		readOnly: b.Bool("readonly"), propagation: "rprivate", mode: 0o1777,
	}
	if kind := b.String("type"); kind != "" {
		v.kind = volumeKind(kind)
	}
	for _, word := range b.Strings("options") {
		if err := v.setMode(word); err != nil {
			return v, nil, fmt.Errorf("options: %w", err)
		}
	}
	var errs []error
	for _, o := range b.Blocks("bind_options") {
		if p := o.String("propagation"); p != "" {
			errs = append(errs, v.setPropagation(p))
		}
	}
	for _, o := range b.Blocks("tmpfs_options") {
		note, err := v.setTmpfs(o)
		errs = append(errs, err)
		if note != "" {
			notes = append(notes, note)
		}
	}
	for _, o := range b.Blocks("volume_options") {
		v.noCopy = o.Bool("no_copy")
		if len(o.Map("labels")) > 0 {
			notes = append(notes, "volume_options.labels: no effect: volumes have no labels here")
		}
		for _, d := range o.Blocks("driver_config") {
			errs = append(errs, checkVolumeDriver(d))
		}
	}
	errs = append(errs, v.check())
	return v, notes, errors.Join(errs...)
}

func (v *volume) setPropagation(p string) error {
	if !slices.Contains([]string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}, p) {
		return fmt.Errorf("bind_options.propagation: %q is not one of private, shared and slave, with or without r", p)
	}
	return v.setMode(p)
}

// setTmpfs takes the mode as the number that it is; one in quotes with a leading zero is octal.
func (v *volume) setTmpfs(o drivers.Options) (note string, err error) {
	v.size = o.Int("size")
	if v.size < 0 {
		return "", fmt.Errorf("tmpfs_options.size: %d is negative", v.size)
	}
	text := o.String("mode")
	if text == "" {
		return "", nil
	}
	base := 10
	if strings.HasPrefix(text, "0") {
		base = 8
	}
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil || n > 0o7777 {
		return "", fmt.Errorf("tmpfs_options.mode: %q is no file mode", text)
	}
	v.mode = uint32(n)
	if _, err := strconv.ParseUint(text, 8, 32); err == nil && base == 10 && len(text) >= 3 {
		note = fmt.Sprintf("tmpfs_options.mode: %s is decimal, which is %#o; write \"0%s\" for the octal number", text, n, text)
	}
	return note, nil
}

func checkVolumeDriver(d drivers.Options) error {
	if name := d.String("name"); name != "" && name != "local" {
		return fmt.Errorf("volume_options.driver_config: there is no volume driver %q; %s", name, insteadOfDrivers)
	}
	if len(d.Map("options")) > 0 {
		return errors.New("volume_options.driver_config.options: the driver local takes none here; " + insteadOfDrivers)
	}
	return nil
}

// check is for what holds of every mount.
func (v *volume) check() error {
	switch {
	case v.kind != bindVolume && v.kind != namedVolume && v.kind != tmpfsVolume:
		return fmt.Errorf("type: %q is not bind, volume or tmpfs", v.kind)
	case v.target == "":
		return errors.New("target: missing")
	case !path.IsAbs(v.target) || strings.ContainsAny(v.target, "\x00\n"):
		return fmt.Errorf("target: %q is no absolute path", v.target)
	case v.kind == bindVolume && v.source == "":
		return errors.New("source: missing")
	case strings.ContainsAny(v.source, "\x00\n"):
		return fmt.Errorf("source: %q is no path", v.source)
	case v.kind == tmpfsVolume && v.source != "":
		return errors.New("source: a tmpfs has none")
	case v.kind == namedVolume && v.source != "" && !validVolumeName(v.source):
		return fmt.Errorf("source: %q is no name of a volume: letters, digits, ., _ and -, at most 128, the first no sign", v.source)
	}
	v.target = path.Clean(v.target)
	if v.target == "/" || slices.Contains(ownTargets, v.target) {
		return fmt.Errorf("target: %s is the task's own and can't be replaced", v.target)
	}
	return nil
}

func validVolumeName(name string) bool {
	for i := range len(name) {
		c := name[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 128
}
