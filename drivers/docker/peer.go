//go:build linux

package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// peerNetwork is the network that another task of the allocation is in, with its names. The
// namespace is put on the stage: by the time the runtime joins it, the number of the process
// it was found by may be another's.
func (s *starting) peerNetwork(ctx context.Context) (*drivers.Network, error) {
	peer, err := s.Peer(ctx, s.c, s.task.AllocID, s.set.peer)
	if err != nil {
		return nil, err
	}
	path := fmt.Sprintf("/proc/%d/ns/net", peer.PID)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, drivers.Recoverable(&os.PathError{Op: "open", Path: path, Err: err})
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if again, err := s.Peer(ctx, s.c, s.task.AllocID, s.set.peer); err != nil || again.PID != peer.PID {
		return nil, drivers.Recoverable(fmt.Errorf("task %s has just ended", s.set.peer))
	}
	at, err := s.stage.put(f)
	if err != nil {
		return nil, err
	}
	name, err := os.ReadFile(filepath.Join(peer.Files, "hostname"))
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	return &drivers.Network{
		Namespace: at, Hostname: strings.TrimSpace(string(name)),
		Hosts: filepath.Join(peer.Files, "hosts"), Resolv: filepath.Join(peer.Files, "resolv.conf"),
	}, nil
}
