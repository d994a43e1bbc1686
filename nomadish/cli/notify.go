package cli

import (
	"fmt"
	"net"
)

// tellManager tells the service manager that started this program about its state, by the
// protocol of sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names. Without one there
// is nobody to tell.
func tellManager(env func(string) (string, bool), state string) error {
	path, ok := env("NOTIFY_SOCKET")
	if !ok || path == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", path) //nolint:noctx // a local datagram does not wait
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}
