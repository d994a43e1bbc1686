//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// peers makes the image of the peer program, and a node that may load it.
func peers(t *testing.T) (n *machine.Node, archive string) {
	t.Helper()
	ctx, dir := testContext(t), t.TempDir()
	images := filepath.Join(dir, "images")
	must(t, os.MkdirAll(images, 0o755))
	program, err := machine.Build(ctx, dir, "./e2e/peer")
	must(t, err)
	archive, err = machine.Image(ctx, images, "nomadish.dev/peer:1", program)
	must(t, err)
	return newNode(t, machine.Config{Archives: images}), archive
}

// says waits until a URL answers with a text.
func says(t *testing.T, url, want string) {
	t.Helper()
	must(t, machine.Until(testContext(t), url+" answers", func(ctx context.Context) error {
		got, err := fetch(ctx, url)
		if err == nil && got != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	}))
}

// Two containers of a group with a bridge network reach each other on localhost, and the
// node's port leads to one of them; also after the agent was killed, with the same
// processes, and after its links and mounts were taken away. When the job is stopped
// nothing is left.
func TestBridgeNetwork(t *testing.T) {
	n, archive := peers(t)
	ctx := testContext(t)
	job := machine.Job("pair", nomadish.JobTypeService, "docker", map[string]any{
		"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":${NOMAD_PORT_http}", "front"},
	})
	group := job.TaskGroups[0]
	group.Networks = []*nomadish.NetworkResource{{
		Mode: "bridge", Hostname: "pair", DNS: &nomadish.DNSConfig{Servers: []string{"192.0.2.53"}},
		DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}},
	}}
	back := *group.Tasks[0]
	back.Name, back.Config = "back", map[string]any{
		"image": "nomadish.dev/peer:1", "load": archive, "args": []any{"127.0.0.1:9090", "back"},
	}
	group.Tasks = append(group.Tasks, &back)
	_, err := n.Register(ctx, job)
	must(t, err)
	before := running(t, n, "pair", 1)
	var id string
	for id = range before {
	}
	a, _, err := n.API.Allocations().Allocation(ctx, id, nil)
	must(t, err)
	if s := a.NetworkStatus; s == nil || s.InterfaceName != "eth0" || s.Address == "" || s.DNS == nil || !slices.Equal(s.DNS.Servers, []string{"192.0.2.53"}) {
		t.Errorf("network status: got %+v", s)
	}
	port := a.AllocatedResources.Shared.Ports[0]
	url := "http://" + net.JoinHostPort(port.HostIP, strconv.Itoa(port.Value))
	answer := func() {
		t.Helper()
		says(t, url+"/", "front")
		says(t, url+"/ask?addr=127.0.0.1:9090", "back")
	}
	answer()
	must(t, n.Kill())
	answer()
	restart(t, n)
	answer()
	if after := running(t, n, "pair", 1); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after the agent was killed: processes %v, want %v", after, before)
	}
	must(t, n.Stopped(ctx, "pair", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// A network namespace that was lost with its agent, as in a reboot, is made anew, and what
// ran in it is started again: it is never running and out of reach.
func TestLostNetworkRestartsTasks(t *testing.T) {
	n, archive := peers(t)
	ctx := testContext(t)
	job := machine.Job("lost", nomadish.JobTypeService, "docker", map[string]any{
		"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":8080", "front"},
	})
	job.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge", DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	own := machine.Job("own", nomadish.JobTypeService, "docker", map[string]any{
		"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":8080", "own"}, "ports": []any{"http"},
	})
	own.TaskGroups[0].Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	urls := map[string]string{}
	for name, j := range map[string]*nomadish.Job{"front": job, "own": own} {
		_, err := n.Register(ctx, j)
		must(t, err)
		stub, err := n.Allocation(ctx, *j.ID, nomadish.AllocClientRunning, nomadish.AllocClientFailed)
		must(t, err)
		a, _, err := n.API.Allocations().Allocation(ctx, stub.ID, nil)
		must(t, err)
		port := a.AllocatedResources.Shared.Ports
		if len(port) != 1 {
			t.Fatalf("%s is %s, events %v", name, stub.ClientStatus, machine.Events(stub))
		}
		urls[name] = "http://" + net.JoinHostPort(port[0].HostIP, strconv.Itoa(port[0].Value)) + "/"
		says(t, urls[name], name)
	}
	must(t, n.Kill())
	must(t, n.LoseNetworks())
	restart(t, n)
	for name, url := range urls {
		says(t, url, name)
	}
	for _, j := range []string{"lost", "own"} {
		must(t, n.Stopped(ctx, j, true))
	}
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// A plain process joins its group's network too: it is reached on the mapped port, and on
// no other.
func TestPlainProcessInBridge(t *testing.T) {
	ctx := testContext(t)
	program, err := machine.Build(ctx, t.TempDir(), "./e2e/peer")
	must(t, err)
	job := machine.Job("plain", nomadish.JobTypeService, "raw_exec", machine.Command(program, ":8080", "plain"))
	job.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge", DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	_, err = shared.Register(ctx, job)
	must(t, err)
	stub, err := shared.Allocation(ctx, "plain", nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	must(t, err)
	a, _, err := shared.API.Allocations().Allocation(ctx, stub.ID, nil)
	must(t, err)
	if stub.ClientStatus != nomadish.AllocClientRunning {
		t.Fatalf("it is %s, events %v", stub.ClientStatus, machine.Events(stub))
	}
	port := a.AllocatedResources.Shared.Ports[0]
	says(t, "http://"+net.JoinHostPort(port.HostIP, strconv.Itoa(port.Value))+"/", "plain")
	if text, err := fetch(ctx, "http://127.0.0.1:8080/"); err == nil && text == "plain" {
		t.Error("it listens on the host's own port")
	}
	must(t, shared.Stopped(ctx, "plain", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return shared.Left() }))
}
