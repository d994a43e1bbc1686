//go:build linux

package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// maxProfile bounds a file with a system call filter.
const maxProfile = 1 << 20

// profile is a system call filter in the form of Docker's files, which has that of the OCI
// specification in it: rules can be for some architectures, capabilities or kernels only.
type profile struct {
	specs.LinuxSeccomp
	ArchMap []struct {
		Architecture     specs.Arch   `json:"architecture"`
		SubArchitectures []specs.Arch `json:"subArchitectures"`
	} `json:"archMap"`
	Syscalls []rule `json:"syscalls"`
}

type rule struct {
	specs.LinuxSyscall
	Name     string    `json:"name"` // older form of names
	Includes condition `json:"includes"`
	Excludes condition `json:"excludes"`
}

type condition struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// readProfile reads a filter: a file in the task's directories, or on the host. No error says
// what is in a file that is no filter.
func readProfile(dir drivers.TaskDir, path string) (*profile, error) {
	at, err := locate(dir, path)
	if err != nil {
		return nil, err
	}
	f, err := openSource(at, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("not a regular file"), err)
	}
	content, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd())) // the same file, to be read
	if err != nil {
		return nil, err
	}
	defer content.Close()
	b, err := io.ReadAll(io.LimitReader(content, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxProfile {
		return nil, fmt.Errorf("larger than %d bytes", maxProfile)
	}
	p := &profile{}
	if json.Unmarshal(b, p) != nil || p.DefaultAction == "" {
		return nil, errors.New("not a system call filter in JSON with a defaultAction")
	}
	return p, nil
}

// filter is the part of a profile that holds for a process with these capabilities on this
// machine.
func (p *profile) filter(capabilities []string, kernel string) *specs.LinuxSeccomp {
	out := p.LinuxSeccomp
	out.Syscalls = nil
	arch := dockerArch()
	for _, m := range p.ArchMap {
		if dockerArchOf(m.Architecture) == arch {
			out.Architectures = append([]specs.Arch{m.Architecture}, m.SubArchitectures...)
		}
	}
	for _, r := range p.Syscalls {
		if !r.Includes.holds(capabilities, arch, kernel, true) || r.Excludes.holds(capabilities, arch, kernel, false) {
			continue
		}
		call := r.LinuxSyscall
		if r.Name != "" {
			call.Names = append(slices.Clone(call.Names), r.Name)
		}
		out.Syscalls = append(out.Syscalls, call)
	}
	return &out
}

// holds says whether a condition is met; for one that says nothing it returns none.
func (c condition) holds(capabilities []string, arch, kernel string, none bool) bool {
	if len(c.Caps) == 0 && len(c.Arches) == 0 && c.MinKernel == "" {
		return none
	}
	if none { // includes: all that is said must hold
		return !slices.ContainsFunc(c.Caps, func(name string) bool { return !slices.Contains(capabilities, name) }) &&
			(len(c.Arches) == 0 || slices.Contains(c.Arches, arch)) &&
			(c.MinKernel == "" || !older(kernel, c.MinKernel))
	}
	return slices.ContainsFunc(c.Caps, func(name string) bool { return slices.Contains(capabilities, name) }) ||
		slices.Contains(c.Arches, arch) ||
		c.MinKernel != "" && !older(kernel, c.MinKernel)
}

func dockerArch() string { return runtime.GOARCH }

func dockerArchOf(a specs.Arch) string {
	switch a {
	case specs.ArchX86_64:
		return "amd64"
	case specs.ArchAARCH64:
		return "arm64"
	}
	return string(a)
}

// older says whether one version of the kernel comes before another.
func older(a, b string) bool {
	x, y := kernelNumbers(a), kernelNumbers(b)
	return slices.Compare(x[:], y[:]) < 0
}

func kernelNumbers(version string) (n [2]int) {
	parts := strings.SplitN(version, ".", 3)
	for i := range min(len(parts), len(n)) {
		digits := strings.IndexFunc(parts[i], func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(parts[i])
		}
		n[i], _ = strconv.Atoi(parts[i][:digits]) // what is no number counts as 0
	}
	return n
}

// kernelRelease is the version of the running kernel.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "" // older than any
	}
	return unix.ByteSliceToString(u.Release[:])
}

// appArmor says whether the kernel confines programs by AppArmor profiles.
func appArmor() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && len(b) > 0 && b[0] == 'Y'
}
