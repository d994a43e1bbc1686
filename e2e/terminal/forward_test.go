//go:build linux

package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/examples/image/archive"
	"github.com/nomadish/nomadish/nomadish"
)

// forward starts port-forward and returns the address that it listens on.
func forward(t *testing.T, job, port string) string {
	t.Helper()
	cmd := program(t, ask, "port-forward", job, "0:"+port)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = t.Output()
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGINT); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	addr, _, found := strings.Cut(line, " -> ")
	if !found {
		t.Fatalf("it says %q", line)
	}
	return addr
}

// upper sends a text, ends its direction, and returns what comes back until the end.
func upper(addr, text string) (string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, text)
		if err == nil {
			err = conn.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(conn)
	if err == nil {
		err = <-sent
	}
	return string(got), err
}

// A port in a group's own network is reached by its label, and by its number where it is not
// mapped; 20 connections at once each keep their own bytes, and each direction its own end. In
// the host's network only the allocation's own ports are reached.
func TestPortForward(t *testing.T) {
	ctx, dir := testContext(t), t.TempDir()
	path, err := machine.Build(ctx, dir, "./e2e/terminal/upper")
	must(t, err)
	code, err := os.ReadFile(path)
	must(t, err)
	must(t, pushFiles(ctx, "upper:1", []archive.File{{Path: "/upper", Mode: 0o755, Content: code}}))
	bridged := machine.Job("bridged", nomadish.JobTypeService, "docker", map[string]any{
		"image": hub + "/upper:1", "command": "/upper", "args": []any{":${NOMAD_PORT_http}", "127.0.0.1:9090"},
	})
	bridged.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge", DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	hosted := machine.Job("hosted", nomadish.JobTypeService, "raw_exec", machine.Command(path, "127.0.0.1:${NOMAD_PORT_http}"))
	hosted.TaskGroups[0].Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http"}}}}
	for _, job := range []*nomadish.Job{bridged, hosted} {
		job.Constraints = shell("", "", "").Constraints
		_, err := server.Register(ctx, job)
		must(t, err)
		a, err := started(ctx, *job.ID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, server.Stopped(context.WithoutCancel(ctx), a.JobID, true)) })
	}
	for _, to := range []struct{ job, port string }{{"bridged", "http"}, {"bridged", "8080"}, {"bridged", "9090"}, {"hosted", "http"}} {
		t.Run(to.job+" "+to.port, func(t *testing.T) {
			addr := forward(t, to.job, to.port)
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					text := strings.Repeat(fmt.Sprintf("connection %d ", i), 10_000)
					if got, err := upper(addr, text); err != nil || got != strings.ToUpper(text) {
						t.Errorf("connection %d: %d bytes of %d, %v", i, len(got), len(text), err)
					}
				})
			}
			all.Wait()
		})
	}
	_, other, err := net.SplitHostPort(server.Addr)
	must(t, err)
	for job, port := range map[string]string{"hosted": other, "bridged": "9"} {
		if got, err := upper(forward(t, job, port), "x"); err == nil && got != "" {
			t.Errorf("%s: port %s answers %q", job, port, got)
		}
	}
}
