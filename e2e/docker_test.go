//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// The example's web server, in a container made of an image archive, answers on the port
// that the scheduler chose for it; when the job is stopped, nothing of it is left.
func TestContainerFromAnArchive(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	must(t, os.MkdirAll(images, 0o755))
	program, err := machine.Build(ctx, dir, "./examples/web")
	must(t, err)
	archive, err := machine.Image(ctx, images, "nomadish.dev/web:1", program)
	must(t, err)
	n := newNode(t, machine.Config{Archives: images})

	job := machine.Job("web", nomadish.JobTypeService, "docker", map[string]any{
		"image": "nomadish.dev/web:1", "load": archive, "ports": []any{"http"},
	})
	group := job.TaskGroups[0]
	group.Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	group.Tasks[0].Env = map[string]string{"GREETING": "Good day"}
	_, err = n.Register(ctx, job)
	must(t, err)
	stub, err := n.Allocation(ctx, "web", nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	must(t, err)
	if stub.ClientStatus != nomadish.AllocClientRunning {
		t.Fatalf("the allocation is %s, events %v", stub.ClientStatus, machine.Events(stub))
	}
	a, _, err := n.API.Allocations().Allocation(ctx, stub.ID, nil)
	must(t, err)
	ports := a.AllocatedResources.Shared.Ports
	if len(ports) != 1 {
		t.Fatalf("ports: got %+v, want one", ports)
	}
	url := "http://" + net.JoinHostPort(ports[0].HostIP, strconv.Itoa(ports[0].Value))
	must(t, machine.Until(ctx, "the web server answers", func(ctx context.Context) error {
		text, err := fetch(ctx, url+"/")
		if err == nil && text != fmt.Sprintf("Good day from web, allocation %s\n", a.ID) {
			err = machine.Final(fmt.Errorf("got %q", text))
		}
		return err
	}))
	must(t, machine.Until(ctx, "the request is in the log", func(ctx context.Context) error {
		out := ""
		for frame, err := range n.API.Files().Logs(ctx, &nomadish.LogRequest{AllocID: a.ID, Task: machine.Task, Type: "stderr"}) {
			if err != nil {
				return err
			}
			out += string(frame.Data)
		}
		if !strings.Contains(out, "GET / from") {
			return fmt.Errorf("stderr is %q", out)
		}
		return nil
	}))
	must(t, n.Stopped(ctx, "web", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
	if text, err := fetch(ctx, url+"/"); err == nil {
		t.Errorf("after the stop: got %q", text)
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
