//go:build linux && cgo

package runc

import (
	"github.com/opencontainers/runc/libcontainer/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Supported is what this build of the runtime can do.
func Supported() *features.Features {
	seccompOn, mapped := seccomp.Enabled, true
	f := &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Linux: &features.Linux{
			Seccomp:         &features.Seccomp{Enabled: &seccompOn},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &mapped}},
		},
		Annotations: map[string]string{"org.opencontainers.runc.version": Version},
	}
	return f
}

// SeccompSupported says whether system call filters work: the binary was built with
// libseccomp. Without it a specification with a filter is refused.
func SeccompSupported() bool { return seccomp.Enabled }
