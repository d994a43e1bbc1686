//go:build linux

package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// RangeSize is how many users and groups a container with users of its own has: those of the
// usual 16 bits.
const RangeSize = 1 << 16

// Pool is the users and groups of the host that those of containers are mapped to. Each
// allocation that runs has a range of RangeSize of them to itself, so that a process which got
// out of its container is nobody to the files and processes of all others.
type Pool struct {
	// Base is the first of them; default 1879048192: from there no account is, and systemd
	// gives out none.
	Base int64
	// Size is how many there are; default 268435456, for 4096 allocations.
	Size int64
}

// ReadPool reads the block userns of a driver's configuration; nil: it is not enabled.
func ReadPool(o drivers.Options) *Pool {
	for _, b := range o.Blocks("userns") {
		if b.Bool("enabled") {
			return &Pool{Base: b.Int("base"), Size: b.Int("size")}
		}
	}
	return nil
}

// maxUser bounds users and groups: some programs take larger ones for negative.
const maxUser = 1<<31 - 1

// Validate refuses users that accounts of the host have by custom, or that do not exist.
func (p *Pool) Validate() error {
	if p == nil {
		return nil
	}
	full := p.withDefaults()
	switch {
	case full.Base < RangeSize || full.Base > maxUser:
		return fmt.Errorf("userns: base: %d is not from %d to %d", full.Base, RangeSize, maxUser)
	case full.Size < RangeSize || full.Size > maxUser+1-full.Base:
		return fmt.Errorf("userns: size: %d is not from %d, for one allocation, to %d", full.Size, RangeSize, maxUser+1-full.Base)
	}
	return nil
}

// PoolSchema describes the block userns of a driver's configuration.
func PoolSchema() drivers.Schema {
	return drivers.Schema{
		"enabled": {Type: nomadish.ConfigBool, Default: "false", Doc: "Give tasks users of their own."},
		"base":    {Type: nomadish.ConfigNumber, Default: "1879048192", Doc: "First user and group of the host that theirs can be."},
		"size":    {Type: nomadish.ConfigNumber, Default: "268435456", Doc: "How many there are; each allocation has 65536 of them to itself."},
	}
}

func (p Pool) withDefaults() Pool {
	p.Base = cmp.Or(p.Base, 0x7000_0000)
	p.Size = cmp.Or(p.Size, 0x1000_0000)
	return p
}

// pick returns the first user of the range of an allocation: the one that it has already, or a
// free one. The taken are by their first user.
func (p Pool) pick(alloc string, taken map[uint32]string) (uint32, error) {
	for first, other := range taken {
		if n := int64(first); other == alloc && n >= p.Base && n-p.Base <= p.Size-RangeSize {
			return first, nil
		}
	}
	hash := fnv.New32a()
	hash.Write([]byte(alloc))
	count := p.Size / RangeSize
	for i := range count {
		first := uint32(p.Base + (int64(hash.Sum32())+i)%count*RangeSize)
		if free(first, taken) {
			return first, nil
		}
	}
	return 0, drivers.Recoverable(fmt.Errorf("userns: all %d ranges of users are taken (size)", count))
}

// free says whether no range has one of the users from first on.
func free(first uint32, taken map[uint32]string) bool {
	for other := range taken {
		if other < first+RangeSize && first < other+RangeSize {
			return false
		}
	}
	return true
}

// ranges knows which ranges are taken by containers that are not there yet; containerd knows
// the others.
type ranges struct {
	turns   Turns
	mu      sync.Mutex
	pending map[uint32]*claim // by first user
}

type claim struct {
	alloc string
	tasks int
}

// take finds the range of an allocation. It is kept until the function is called, by when the
// container has it on its label.
func (r *ranges) take(ctx context.Context, c *client.Client, p Pool, alloc string) (uint32, func(), error) {
	unlock, err := r.turns.Take(ctx, "") // or two that ask at once get the same
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	taken, err := takenRanges(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for first, claim := range r.pending {
		taken[first] = claim.alloc
	}
	first, err := p.withDefaults().pick(alloc, taken)
	if err != nil {
		return 0, nil, err
	}
	if r.pending == nil {
		r.pending = map[uint32]*claim{}
	}
	if r.pending[first] == nil {
		r.pending[first] = &claim{alloc: alloc}
	}
	r.pending[first].tasks++
	return first, func() { r.release(first) }, nil
}

func (r *ranges) release(first uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[first].tasks--; r.pending[first].tasks == 0 {
		delete(r.pending, first)
	}
}

// takenRanges are those of containers, with the allocation that each is of.
func takenRanges(ctx context.Context, c *client.Client) (map[uint32]string, error) {
	held, err := c.ContainerService().List(ctx, fmt.Sprintf("labels.%q", labelUsers))
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	taken := map[uint32]string{}
	for _, ct := range held {
		first, err := strconv.ParseUint(ct.Labels[labelUsers], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("container %s: label %s: %w", ct.ID, labelUsers, err)
		}
		taken[uint32(first)] = ct.Labels[labelAlloc]
	}
	return taken, nil
}

// remapping is what a container with users of its own is made of.
type remapping struct {
	first uint32 // user of the host that its root is
	sys   string // mount of /sys as its network sees it; empty: it can make one itself
}

// ids are the mappings of users, and those of groups.
func (r *remapping) ids() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{HostID: r.first, Size: RangeSize}}
}

// check refuses users that the container does not have.
func (r *remapping) check(u specs.User) error {
	for _, id := range append([]uint32{u.UID, u.GID}, u.AdditionalGids...) {
		if id >= RangeSize {
			return fmt.Errorf("user or group %d: with a user namespace there are those below %d", id, RangeSize)
		}
	}
	return nil
}

// remap gives the container that is made users of its own. When it is there, done frees what
// making it needed.
func (s *start) remap(ctx context.Context, b *builder) (done func(), err error) {
	if err := s.CanRemap(ctx); err != nil {
		return nil, fmt.Errorf("this node is to give tasks users of their own, and can't: %w", err)
	}
	b.users = &remapping{}
	if err := b.users.check(b.plan.User); err != nil {
		return nil, err
	}
	// Root of the container is somebody else here, and has to get to its bundle. What else is
	// below these keeps others out itself.
	for _, dir := range []string{filepath.Dir(s.l.Run), s.l.Run} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return nil, err
		}
	}
	first, release, err := s.ranges.take(ctx, s.c, *b.plan.Remap, cmp.Or(s.task.AllocID, s.task.ID))
	if err != nil {
		return nil, err
	}
	b.users.first = first
	if b.plan.Alone && b.task.Network == nil { // the network is made with the container, and its own
		return release, nil
	}
	b.users.sys = filepath.Join(b.files, sysName)
	if err := b.lookInto(b.users.sys); err != nil {
		release()
		return nil, err
	}
	return func() {
		release()
		if err := unmountSys(b.users.sys); err != nil { // Remove tries again
			s.cfg.Logger.Warn("after a start", "task", s.task.ID, "err", err)
		}
	}, nil
}

// lookInto mounts /sys as the task's network sees it, and sets what the task wants set there.
func (b *builder) lookInto(at string) error {
	path := ""
	if b.task.Network != nil {
		path = b.task.Network.Namespace
	}
	mine := map[string]string{} // for runc to set
	theirs := map[string]string{}
	for name, value := range b.plan.Sysctl {
		if strings.HasPrefix(name, "net.") || strings.HasPrefix(name, "net/") {
			theirs[name] = value
		} else {
			mine[name] = value
		}
	}
	if path == "" && len(theirs) > 0 {
		return errors.New("sysctl: the task has no network of its own")
	}
	b.plan.Sysctl = mine
	return inNetwork(path, func() error { return errors.Join(mountSys(at), setNetwork(theirs)) })
}

// owner is who the pipes of a task's output belong to, so that it can open /dev/stdout anew. To
// the user of one that is the same on the host runc gives them.
func (b *builder) owner() (uid, gid uint32) {
	if b.users == nil {
		return 0, 0
	}
	return b.users.first + b.plan.User.UID, b.users.first + b.plan.User.GID
}

// snapshot are the options of the image's layer.
func (b *builder) snapshot() []snapshots.Opt {
	if b.users == nil {
		return b.plan.Root.Snapshot
	}
	return append(slices.Clone(b.plan.Root.Snapshot), client.WithUserNSRemapperLabels(b.users.ids(), b.users.ids()))
}

// rootMounts are the mounts of a root that is a directory of the host, where the runtime can't
// take it as it is. What is mounted below it comes by mounts of its own.
func (b *builder) rootMounts() []client.NewTaskOpts {
	if b.users == nil || b.plan.Root.Dir == "" {
		return nil
	}
	ids := fmt.Sprintf("0:%d:%d", b.users.first, RangeSize)
	return []client.NewTaskOpts{client.WithRootFS([]mount.Mount{{
		Type: "bind", Source: b.plan.Root.Dir, Options: []string{"bind", "rw", "uidmap=" + ids, "gidmap=" + ids},
	}})}
}

// apply gives a finished specification users of its own. All that is mounted from the host has
// the same owners inside as there: the mounts are mapped, and no file changes hands.
func (r *remapping) apply(s *specs.Spec) error {
	for _, n := range s.Linux.Namespaces {
		if n.Path != "" && n.Type != specs.NetworkNamespace {
			return fmt.Errorf("the %s namespace %s can't be joined with a user namespace", n.Type, n.Path)
		}
	}
	for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.IPCNamespace} {
		if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind }) {
			return fmt.Errorf("the host's %s namespace can't go with a user namespace", kind)
		}
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings, s.Linux.GIDMappings = r.ids(), r.ids()
	var errs []error
	for i, m := range s.Mounts {
		switch {
		case m.Type == "bind" && slices.Contains(m.Options, "rshared"):
			errs = append(errs, fmt.Errorf("mount %s: what is mounted in a user namespace can't be seen on the host (propagation)", m.Destination))
		case m.Type == "bind" && isDevice(m.Source): // of which the kernel maps no owners
		case m.Type == "bind" && slices.Contains(m.Options, "rbind"):
			s.Mounts[i].Options = append(slices.Clone(m.Options), "ridmap")
		case m.Type == "bind":
			s.Mounts[i].Options = append(slices.Clone(m.Options), "idmap")
		case m.Type == "sysfs" && r.sys != "":
			s.Mounts[i] = specs.Mount{
				Destination: m.Destination, Type: "bind", Source: r.sys,
				Options: []string{"bind", "ro", "nosuid", "noexec", "nodev", "rprivate"},
			}
		}
	}
	return errors.Join(errs...)
}

func isDevice(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeDevice != 0
}
