//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// member is one of etcd's processes.
type member struct {
	cmd  *exec.Cmd
	addr string
}

// startEtcd starts three members of a new cluster.
func startEtcd(ctx context.Context, dir string) ([]*member, error) {
	addrs, err := freeAddrs(6)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i := range 3 {
		cluster = append(cluster, fmt.Sprintf("m%d=http://%s", i, addrs[3+i]))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var members []*member
	for i := range 3 {
		name := fmt.Sprintf("m%d", i)
		log, err := os.Create(filepath.Join(dir, name+".log"))
		if err != nil {
			return members, err
		}
		cmd := exec.CommandContext(ctx, etcdProgram, "--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", "http://"+addrs[i], "--advertise-client-urls", "http://"+addrs[i],
			"--listen-peer-urls", "http://"+addrs[3+i], "--initial-advertise-peer-urls", "http://"+addrs[3+i],
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new", "--log-level", "error")
		cmd.Stdout, cmd.Stderr = log, log
		err = errors.Join(cmd.Start(), log.Close())
		if err != nil {
			return members, err
		}
		members = append(members, &member{cmd: cmd, addr: addrs[i]})
	}
	return members, nil
}

// freeAddrs finds addresses on loopback that nobody listens on.
func freeAddrs(count int) ([]string, error) {
	var addrs []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// client speaks gRPC's HTTP/2 without encryption.
func (m *member) client() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
}

// put stores a key by etcd's own protocol: a message with the key as field 1 and the value as
// field 2.
func (m *member) put(ctx context.Context, client *http.Client, key, value string) error {
	msg := field(field(nil, 1, key), 2, value)
	_, err := m.call(ctx, client, "/etcdserverpb.KV/Put", msg)
	return err
}

// call makes a unary call of gRPC and returns the answer's message.
func (m *member) call(ctx context.Context, client *http.Client, method string, msg []byte) ([]byte, error) {
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.addr+method, bytes.NewReader(frame))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if status := resp.Trailer.Get("Grpc-Status"); resp.StatusCode != http.StatusOK || status != "0" {
		return nil, fmt.Errorf("%s: %s, status %s: %s", method, resp.Status, status, resp.Trailer.Get("Grpc-Message"))
	}
	return bytes.TrimPrefix(body, body[:min(5, len(body))]), nil
}

// field appends a field of bytes to a message of protocol buffers.
func field(b []byte, number byte, value string) []byte {
	b = append(b, number<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// etcdLeader returns which of the members leads: the one whose status names itself.
func etcdLeader(ctx context.Context, client *http.Client, members []*member) (int, error) {
	for i, m := range members {
		status, err := m.call(ctx, client, "/etcdserverpb.Maintenance/Status", nil)
		if err != nil {
			return 0, err
		}
		self, leader := statusIDs(status)
		if leader != 0 && self == leader {
			return i, nil
		}
	}
	return 0, errors.New("no member leads")
}

// statusIDs reads a member's own ID (field 2 of the header, which is field 1) and the leader's
// (field 4) out of the answer to a question for the status.
func statusIDs(b []byte) (self, leader uint64) {
	walk(b, func(number, n uint64, content []byte) {
		switch number {
		case 1:
			walk(content, func(number, n uint64, _ []byte) {
				if number == 2 {
					self = n
				}
			})
		case 4:
			leader = n
		}
	})
	return self, leader
}

// walk calls see for each field of a message that is a number or bytes, and stops at others.
func walk(b []byte, see func(number, n uint64, content []byte)) {
	for len(b) > 0 {
		key, size := binary.Uvarint(b)
		if size <= 0 {
			return
		}
		b = b[size:]
		n, size := binary.Uvarint(b)
		if size <= 0 || key&7 != 0 && key&7 != 2 {
			return
		}
		b = b[size:]
		if key&7 == 0 {
			see(key>>3, n, nil)
			continue
		}
		if n > uint64(len(b)) {
			return
		}
		see(key>>3, 0, b[:n])
		b = b[n:]
	}
}

// end ends the member.
func (m *member) end() {
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // one that has ended is no fault
	done := make(chan struct{})
	go func() {
		_ = m.cmd.Wait() // how it ended does not matter
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = m.cmd.Process.Kill()
		<-done
	}
}
