package client

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialIn connects to an address as it is seen in a network namespace; an empty path is the
// namespace of this process.
func dialIn(ctx context.Context, namespace, addr string) (net.Conn, error) {
	if namespace == "" {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread stays locked, so that it ends with this goroutine and nothing else ever
		// runs in the namespace. A socket belongs to the namespace in which it was made.
		runtime.LockOSThread()
		conn, err := dialHere(ctx, namespace, addr)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// dialHere moves this thread into a namespace and connects there.
func dialHere(ctx context.Context, namespace, addr string) (net.Conn, error) {
	ns, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter network namespace: %w", err)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr) // an address without a name is dialled on this thread
}
