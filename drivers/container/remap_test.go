//go:build linux

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// An allocation keeps its range, no two have users in common, whichever pools they are of, and
// when all are taken the error says how many there are.
func TestPickRange(t *testing.T) {
	p := Pool{Base: 100_000, Size: 4*RangeSize + 5}
	taken := map[uint32]string{}
	for i := range 4 {
		alloc := fmt.Sprintf("alloc %d", i)
		first, err := p.pick(alloc, taken)
		if err != nil {
			t.Fatal(err)
		}
		if !free(first, taken) || int64(first) < p.Base || int64(first)+RangeSize > p.Base+p.Size {
			t.Fatalf("%s gets users from %d on, with %v taken", alloc, first, taken)
		}
		taken[first] = alloc
		if again, err := p.pick(alloc, taken); again != first || err != nil {
			t.Errorf("%s gets %d again as %d, %v", alloc, first, again, err)
		}
	}
	if first, err := p.pick("one more", taken); err == nil || !strings.Contains(err.Error(), "all 4 ranges") || !drivers.IsRecoverable(err) {
		t.Errorf("one more gets %d, %v", first, err)
	}
	other := Pool{Base: 100_000 - RangeSize + 1, Size: RangeSize}
	if first, err := other.pick("other", taken); err == nil {
		t.Errorf("users from %d on are given out twice", first)
	}
}

// A pool has users for an allocation, and none that accounts of the host have by custom or that
// programs take for negative.
func TestPoolIsChecked(t *testing.T) {
	for _, tt := range []struct {
		pool *Pool
		want string
	}{
		{nil, ""},
		{&Pool{}, ""},
		{&Pool{Base: 65536, Size: 65536}, ""},
		{&Pool{Base: 1<<31 - 65536, Size: 65536}, ""},
		{&Pool{Base: 1000}, "base: 1000 is not from 65536"},
		{&Pool{Base: -5}, "base: -5"},
		{&Pool{Base: 1 << 32}, "base: 4294967296"},
		{&Pool{Size: 65535}, "size: 65535 is not from 65536"},
		{&Pool{Size: -1}, "size: -1"},
		{&Pool{Base: 1<<31 - 65536, Size: 65537}, "size: 65537"},
	} {
		if err := tt.pool.Validate(); fmt.Sprint(err) != "<nil>" && tt.want == "" || tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.pool, err, tt.want)
		}
	}
}

// What can't go with users of a container's own is refused, and by name.
func TestRemapRefuses(t *testing.T) {
	spec := func(mounts ...specs.Mount) *specs.Spec {
		return &specs.Spec{Mounts: mounts, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.NetworkNamespace, Path: "/run/net"},
		}}}
	}
	hostIPC := spec()
	hostIPC.Linux.Namespaces = hostIPC.Linux.Namespaces[:1]
	joined := spec()
	joined.Linux.Namespaces[0].Path = "/proc/1/ns/pid"
	for _, tt := range []struct {
		spec *specs.Spec
		want string
	}{
		{spec(), "<nil>"},
		{hostIPC, "the host's ipc namespace"},
		{joined, "/proc/1/ns/pid can't be joined"},
		{spec(Bind("/srv", "/data", false, "rshared")), "mount /data"},
	} {
		if err := (&remapping{first: 100_000}).apply(tt.spec); !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	for _, u := range []specs.User{{UID: RangeSize}, {GID: RangeSize}, {AdditionalGids: []uint32{0, RangeSize}}} {
		if err := new(remapping).check(u); err == nil || !strings.Contains(err.Error(), "65536") {
			t.Errorf("user %+v: %v", u, err)
		}
	}
}

// The probe says what can't be had. An overlay is a file system whose mounts can't be mapped.
func TestProbeRemap(t *testing.T) {
	if err := probeRemap(t.TempDir()); err != nil {
		t.Errorf("in an ordinary directory: %v", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "all"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	all := filepath.Join(dir, "all")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := unix.Mount("overlay", all, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(all, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := probeRemap(all); err == nil || !strings.Contains(err.Error(), "mapped mount in "+all) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("in an overlay: %v", err)
	}
	if left, err := os.ReadDir(all); err != nil || len(left) > 0 {
		t.Errorf("the probe leaves %v, %v", left, err)
	}
}
