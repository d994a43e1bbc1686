//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// fleet is a process with simulated nodes.
type fleet struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu    sync.Mutex
	last  standing
	ended chan struct{}
}

// standing is what of a line of the simulator is looked at.
type standing struct {
	Online, Running int
	Arrived, Errors int
	LastError       string
	Reports         int
}

// newFleet starts simulated nodes that report nothing of allocations until they are released.
func (b *bench) newFleet(n *machine.Node, certs certificates, nodes int) (*fleet, error) {
	peer, err := n.Peer()
	if err != nil {
		return nil, err
	}
	binary := b.binary
	if binary == "" {
		if binary, err = machine.Binary(); err != nil {
			return nil, err
		}
	}
	f := &fleet{ended: make(chan struct{})}
	f.cmd = exec.Command(binary, "sim", "-address", "http://"+n.Addr, "-servers", peer, //nolint:noctx // end ends it
		"-node-ca", certs.ca(), "-node-cert", certs.cert("client"), "-node-key", certs.key("client"),
		"-nodes", strconv.Itoa(nodes), "-pace", "500", "-hold", "-json", "-interval", "100ms")
	f.cmd.Stderr = os.Stderr
	if f.stdin, err = f.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	go f.read(out)
	return f, nil
}

// read keeps the newest line, until there is no other.
func (f *fleet) read(out io.Reader) {
	defer close(f.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var s standing
		if json.Unmarshal(lines.Bytes(), &s) == nil {
			f.mu.Lock()
			f.last = s
			f.mu.Unlock()
		}
	}
}

func (f *fleet) now() standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// until waits until what the nodes have come to is enough.
func (f *fleet) until(ctx context.Context, what string, enough func(standing) bool) error {
	return machine.Until(ctx, what, func(context.Context) error {
		s := f.now()
		if enough(s) {
			return nil
		}
		select {
		case <-f.ended:
			return machine.Final(errors.New("the simulated nodes have ended"))
		default:
			return fmt.Errorf("%+v", s)
		}
	})
}

// release lets the nodes report.
func (f *fleet) release() error {
	_, err := io.WriteString(f.stdin, "\n")
	return err
}

// end ends the nodes. Ending twice is no error.
func (f *fleet) end() error {
	select {
	case <-f.ended:
		return nil
	default:
	}
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-f.ended:
	case <-time.After(time.Minute): // thousands of encrypted sessions, on cores that others use as well
		return errors.Join(errors.New("the simulated nodes did not end"), f.cmd.Process.Kill())
	}
	return f.cmd.Wait()
}
