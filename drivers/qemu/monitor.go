//go:build linux

package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/container"
)

// monitorPath is the emulator's control socket, as the container sees it.
const monitorPath = "/run/monitor/monitor.sock"

// monitorDir is the directory of the socket on the host. It has a short name: the paths of
// sockets are bounded.
func monitorDir(r *container.Runtime, taskID string) string {
	return filepath.Join(r.Files(taskID), "monitor")
}

// powerDown presses the machine's power button. Whatever has taken the socket's place is not
// followed anywhere.
func powerDown(ctx context.Context, dir string) error {
	fd, err := unix.Open(filepath.Join(dir, filepath.Base(monitorPath)), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written through it
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("monitor: something else is in its socket's place")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	// The prompt comes when the monitor listens; what is sent before may be lost.
	if err := prompt(conn); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "system_powerdown\n"); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	return prompt(conn)
}

// prompt reads until the monitor waits for a command. The machine may end instead.
func prompt(r io.Reader) error {
	const want = "(qemu) "
	seen := make([]byte, 0, 4096)
	for one := make([]byte, 256); ; {
		n, err := r.Read(one)
		seen = append(seen, one[:n]...)
		if len(seen) >= len(want) && string(seen[len(seen)-len(want):]) == want {
			return nil
		}
		if err == io.EOF && len(seen) > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
		if len(seen) > 64<<10 {
			return fmt.Errorf("monitor: no prompt in %d bytes", len(seen))
		}
	}
}
