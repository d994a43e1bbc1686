//go:build linux

package docker

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
)

// mounter makes the mounts of one container.
type mounter struct {
	cfg     *Config
	key     string // of the container
	stage   *stage
	volumes *volumeStore
	image   view
}

// mounts makes those that the task asks for, and one per volume of the image that it does not
// have already, the outer ones first.
func (m *mounter) mounts(ctx context.Context, wanted []volume, image map[string]struct{}, task []drivers.Mount) ([]specs.Mount, error) {
	wanted = slices.Clone(wanted)
	for target := range image {
		v := volume{kind: namedVolume, option: "volume of the image", target: target, propagation: "rprivate"}
		if v.check() != nil {
			continue // a path that can't be mounted is the image's fault; the task works without
		}
		taken := slices.ContainsFunc(wanted, func(w volume) bool { return w.target == v.target }) ||
			slices.ContainsFunc(task, func(t drivers.Mount) bool { return path.Join("/", t.Target) == v.target })
		if !taken && len(wanted) < maxVolumes {
			wanted = append(wanted, v)
		}
	}
	slices.SortStableFunc(wanted, func(a, b volume) int { return strings.Compare(a.target, b.target) })
	out := make([]specs.Mount, 0, len(wanted))
	for i, v := range wanted {
		mount, err := m.mount(ctx, i, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.option, err)
		}
		out = append(out, mount)
	}
	return out, nil
}

func (m *mounter) mount(ctx context.Context, n int, v volume) (specs.Mount, error) {
	switch {
	case v.kind == tmpfsVolume:
		return tmpfs(v), nil
	case v.kind == bindVolume:
		from, err := m.bind(v)
		return bound(from, v), err
	case v.source == "":
		from, err := m.volumes.make(m.key, n, v, m.image)
		return bound(from, v), err
	}
	from, err := m.volumes.get(ctx, v, m.image)
	return bound(from, v), err
}

// bind puts what a bind's source is now on the stage.
func (m *mounter) bind(v volume) (string, error) {
	f, err := openSource(v.place, v.create)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if v.place.host() { // the path as written was checked before; a link can lead elsewhere
		real, err := opened(f)
		if err == nil {
			err = m.cfg.checkControl(real)
		}
		if err != nil {
			return "", err
		}
	}
	return m.stage.put(f)
}

func tmpfs(v volume) specs.Mount {
	options := []string{"nosuid", "nodev", "noexec", "mode=" + strconv.FormatUint(uint64(v.mode), 8)}
	if v.size > 0 {
		options = append(options, "size="+strconv.FormatInt(v.size, 10))
	}
	if v.readOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: v.target, Type: "tmpfs", Source: "tmpfs", Options: options}
}

// bound is a bind mount. A read-only one is so with all that is mounted below it.
func bound(from string, v volume) specs.Mount {
	options := []string{"rbind", "rw", v.propagation}
	if v.readOnly {
		options = []string{"rbind", "ro", "rro", v.propagation}
	}
	return specs.Mount{Destination: v.target, Type: "bind", Source: from, Options: options}
}

// sortMounts puts outer mounts before those inside them, and else keeps the order.
func sortMounts(mounts []specs.Mount) {
	depth := func(m specs.Mount) int {
		clean := path.Clean(m.Destination)
		if clean == "/" {
			return 0
		}
		return strings.Count(clean, "/")
	}
	slices.SortStableFunc(mounts, func(a, b specs.Mount) int { return depth(a) - depth(b) })
}
