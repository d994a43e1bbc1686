//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
)

// Census is how much of a node's tasks there is on the machine.
type Census struct {
	Processes, Groups, Mounts, Namespaces, Links, Rules, Files int
}

// Count takes a census of what tasks cause: agent and containerd are not in it, nor a
// supervisor, which without tasks ends by itself a few seconds later.
func (n *Node) Count() (c Census, err error) {
	processes, err := n.Processes()
	if err != nil {
		return c, err
	}
	c.Processes = len(slices.DeleteFunc(processes, Process.stays))
	groups, err := n.groups()
	if err != nil {
		return c, err
	}
	c.Groups = len(slices.DeleteFunc(groups, n.stays))
	mounts, err := n.mounts()
	if err != nil {
		return c, err
	}
	for _, m := range mounts {
		if strings.HasPrefix(m, n.networks()+"/") {
			c.Namespaces++
		}
	}
	c.Mounts, c.Links, c.Files = len(mounts), len(n.links()), len(n.runtimeFiles())
	c.Rules, err = n.rules()
	return c, err
}

// runtimeFiles returns what the runtime keeps per task: bundles, sockets, pipes, journals.
func (n *Node) runtimeFiles() []string {
	patterns := []string{filepath.Join(n.DataDir(), "runtime/exits/*")}
	for run := range n.run {
		for _, p := range []string{"files/*", "io/*", "runc/*/*", "s/*", "state/io.containerd.runtime.v2.task/*/*"} {
			patterns = append(patterns, filepath.Join(run, p))
		}
	}
	var all []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			continue // the patterns are right
		}
		all = append(all, found...)
	}
	return all
}

// tableName is that of the node's table of host rules.
func (n *Node) tableName() string { return "nomadish-" + n.instance() }

// table returns a connection to the kernel's tables, and the node's, nil where it is not there.
func (n *Node) table() (*nftables.Conn, *nftables.Table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, nil, err
	}
	all, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, nil, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range all {
		if t.Name == n.tableName() {
			return conn, t, nil
		}
	}
	return conn, nil, nil
}

// rules counts what the node's table says of single allocations.
func (n *Node) rules() (count int, err error) {
	conn, table, err := n.table()
	if err != nil || table == nil {
		return 0, err
	}
	sets, err := conn.GetSets(table)
	if err != nil {
		return 0, fmt.Errorf("table %s: %w", table.Name, err)
	}
	for _, s := range sets {
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return 0, fmt.Errorf("set %s: %w", s.Name, err)
		}
		count += len(elements)
	}
	return count, nil
}

// Figures are what an agent's process has of the machine.
type Figures struct {
	Files, Goroutines int
	RSS               int64 // bytes
	Live              int64 // bytes of the heap that are in use, right after a collection
}

// Figures reads those of the running agent, which must have enable_debug.
func (n *Node) Figures(ctx context.Context) (f Figures, err error) {
	if f.Live, err = n.live(ctx); err != nil {
		return f, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		return f, err
	}
	f.Files = len(files)
	if f.RSS, err = RSS(n.PID()); err != nil {
		return f, err
	}
	metrics, err := n.API.Agent().Metrics(ctx)
	if err != nil {
		return f, err
	}
	for _, g := range metrics.Gauges {
		if strings.HasSuffix(g.Name, "runtime.num_goroutines") {
			f.Goroutines = int(g.Value)
			return f, nil
		}
	}
	return f, errors.New("the agent does not say how many goroutines it has")
}

// live has the agent collect its garbage and returns what is left. Where other goroutines
// make some at the same time, a second look sees less of it.
func (n *Node) live(ctx context.Context) (int64, error) {
	var least int64
	for range 3 {
		profile, err := n.profile(ctx)
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(profile, "\n# HeapAlloc = ")
		line, _, _ := strings.Cut(after, "\n")
		bytes, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the agent's heap profile: %w", err)
		}
		if least == 0 || bytes < least {
			least = bytes
		}
	}
	return least, nil
}

// profile returns the agent's heap profile as text.
func (n *Node) profile(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addr+"/v1/agent/pprof/heap?gc=1&debug=1", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the agent's heap profile: status %d: %s", resp.StatusCode, text)
	}
	return string(text), err
}
