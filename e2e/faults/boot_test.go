//go:build linux

package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// healing is how long a node may take until all is right again.
const healing = 15 * time.Second

// site is a job that answers on a port of the node.
type site struct {
	id, alloc, url string
}

// sites starts jobs that answer on ports of the node: a container in its group's namespace,
// one in its own, and a plain process in its group's.
func (w *workload) sites() (all []site) {
	w.t.Helper()
	program, err := machine.Build(w.context(), filepath.Dir(w.counter), "./e2e/peer")
	w.must(err)
	archive, err := machine.Image(w.context(), filepath.Dir(w.archive), "nomadish.dev/peer:1", program)
	w.must(err)
	for _, s := range []struct{ id, driver, mode string }{{"group", "docker", "bridge"}, {"own", "docker", ""}, {"plain", "raw_exec", "bridge"}} {
		config := machine.Command(program, ":8080", s.id)
		if s.driver == "docker" {
			config = map[string]any{"image": "nomadish.dev/peer:1", "load": archive, "args": []any{":8080", s.id}}
		}
		if s.mode == "" {
			config["ports"] = []any{"http"}
		}
		job := machine.Job(s.id, nomadish.JobTypeService, s.driver, config)
		group := job.TaskGroups[0]
		group.Networks = []*nomadish.NetworkResource{{Mode: s.mode, DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
		group.RestartPolicy.Attempts = nomadish.Ptr(10)
		w.register(job)
		all = append(all, site{id: s.id})
	}
	for i := range all {
		w.answers(&all[i])
	}
	return all
}

// answers waits until the job's newest allocation runs and answers on its port, and notes it.
func (w *workload) answers(s *site) {
	w.t.Helper()
	w.must(machine.Until(w.context(), s.id+" answers", func(ctx context.Context) error {
		stub, err := w.node.Allocation(ctx, s.id, nomadish.AllocClientRunning)
		if err != nil {
			return err
		}
		a, _, err := w.node.API.Allocations().Allocation(ctx, stub.ID, nil)
		if err != nil {
			return err
		}
		port := a.AllocatedResources.Shared.Ports[0]
		s.alloc, s.url = a.ID, "http://"+net.JoinHostPort(port.HostIP, strconv.Itoa(port.Value))+"/"
		return ask(ctx, s.url, s.id)
	}))
}

// ask checks that a URL answers with a text.
func ask(ctx context.Context, url, want string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // each request is a connection
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && string(text) != want {
		err = fmt.Errorf("got %q, want %q", text, want)
	}
	return err
}

// within fails the test when the sites did not answer in time.
func (w *workload) within(what string, begin time.Time, sites []site) {
	w.t.Helper()
	for i := range sites {
		w.answers(&sites[i])
	}
	took := time.Since(begin)
	w.t.Logf("%s: all answer after %s", what, took.Round(time.Millisecond))
	if took > healing {
		w.t.Errorf("%s: it took %s until all answered, want at most %s", what, took, healing)
	}
}

// A node whose rules are flushed, under the agent or while there is none, and one that loses
// its power are right again soon: every port answers. Tasks run on where they could, and in
// the end nothing is left.
func TestHealedNode(t *testing.T) {
	w := newWorkload(t, seed(t))
	sites := w.sites()
	before, err := w.node.AllTaskPIDs()
	w.must(err)

	w.must(w.node.FlushRules())
	w.within("rules flushed under the agent", time.Now(), sites)

	w.must(w.node.Kill())
	w.must(w.node.FlushRules())
	begin := time.Now()
	w.startAgent()
	w.within("rules flushed without an agent", begin, sites)

	w.must(w.node.KillContainerd(w.context()))
	w.must(w.node.Kill())
	begin = time.Now()
	w.startAgent()
	w.within("agent and containerd killed", begin, sites)
	after, err := w.node.AllTaskPIDs()
	w.must(err)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("processes %v, were %v", after, before)
	}

	for range often(1, 10) {
		w.must(w.node.LosePower())
		begin = time.Now()
		w.startAgent()
		w.within("after a loss of power", begin, sites)
	}
	for _, s := range sites {
		w.must(w.node.Stopped(w.context(), s.id, true))
	}
	w.must(machine.Until(w.context(), "nothing is left", func(context.Context) error { return w.node.Left() }))
}
