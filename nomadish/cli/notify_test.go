//go:build linux

package cli

import (
	"net"
	"path/filepath"
	"testing"
)

// A service manager that names its socket hears the state; without one nobody is told, and a
// socket that is not there is an error.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() }) // nothing is written to it
	named := func(value string) func(string) (string, bool) {
		return func(name string) (string, bool) { return value, name == "NOTIFY_SOCKET" && value != "" }
	}
	if err := tellManager(named(path), "READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := socket.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("the manager heard %q, %v", b[:n], err)
	}
	if err := tellManager(named(""), "READY=1"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	if err := tellManager(named(path+".missing"), "READY=1"); err == nil {
		t.Error("a socket that is not there is no error")
	}
}
