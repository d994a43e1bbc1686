//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// The writes: so many writers, each with one write under way, of so many bytes, for so long.
const (
	writers   = 16
	valueSize = 200
	writeFor  = 5 * time.Second
	writeKeys = 100 // of each writer, one after the other and then again
)

// peerWrites is what Nomad 2.0 reached here in the same test, with variables as well.
const peerWrites = 2262

// writes measures acknowledged writes of variables on three servers, and of keys in etcd.
func (b *bench) writes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return errors.Join(b.variables(ctx), b.etcd(ctx))
}

// variables measures writes to three servers of ours.
func (b *bench) variables(ctx context.Context) (err error) {
	servers, err := b.startServers(ctx, 3)
	defer func() {
		for _, n := range servers {
			err = errors.Join(err, n.Close())
		}
	}()
	if err != nil {
		return err
	}
	leader, err := theLeader(ctx, servers)
	if err != nil {
		return err
	}
	value := strings.Repeat("v", valueSize)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	defer client.CloseIdleConnections()
	put := func(ctx context.Context, writer, i int) error {
		path := fmt.Sprintf("bench/%d/%d", writer, i%writeKeys)
		body := fmt.Sprintf(`{"Path":%q,"Items":{"value":%q}}`, path, value)
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+leader.Addr+"/v1/var/"+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		return acknowledged(client, req)
	}
	if err := machine.Until(ctx, "the servers take writes", func(ctx context.Context) error { return put(ctx, 0, 0) }); err != nil {
		return err
	}
	return b.load3(ctx, "3 servers, variables", put, 3*peerWrites, func() (sum time.Duration, err error) {
		for _, n := range servers {
			cpu, err := machine.CPUTime(n.PID())
			if err != nil {
				return 0, err
			}
			sum += cpu
		}
		return sum, nil
	})
}

// acknowledged makes a request and returns an error unless it succeeded.
func acknowledged(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	return err
}

// startServers starts servers that make a cluster.
func (b *bench) startServers(ctx context.Context, count int) (all []*machine.Node, err error) {
	join := ""
	for i := range count {
		server := map[string]any{"enabled": true, "bootstrap_expect": count}
		if join != "" {
			server["server_join"] = map[string]any{"retry_join": []string{join}, "retry_interval": "1s"}
		}
		cfg := machine.Config{
			Binary: b.binary, LogLevel: "info", Client: map[string]any{"enabled": false},
			Agent: map[string]any{"name": fmt.Sprintf("s%d", i+1), "server": server, "limits": map[string]any{"http_max_conns_per_client": 0, "http_requests_per_address": 0}},
		}
		if cfg.Dir, err = os.MkdirTemp(b.dir, "server"); err != nil {
			return all, err
		}
		n, err := machine.New(cfg)
		if err != nil {
			return all, err
		}
		all = append(all, n)
		if join == "" {
			if join, err = n.Gossip(); err != nil {
				return all, err
			}
		}
		if err := n.Start(); err != nil {
			return all, err
		}
	}
	return all, machine.Until(ctx, "the servers make a cluster", func(ctx context.Context) error {
		config, err := all[0].API.Operator().RaftConfiguration(ctx, nil)
		if err != nil {
			return err
		}
		voters := 0
		for _, s := range config.Servers {
			if s.Voter {
				voters++
			}
		}
		if voters != count {
			return fmt.Errorf("%d voters", voters)
		}
		return nil
	})
}

// theLeader returns the server that leads.
func theLeader(ctx context.Context, servers []*machine.Node) (leader *machine.Node, err error) {
	err = machine.Until(ctx, "a server leads", func(ctx context.Context) error {
		addr, err := servers[0].API.Status().Leader(ctx)
		if err != nil {
			return err
		}
		for _, n := range servers {
			if peer, err := n.Peer(); err == nil && peer == addr {
				leader = n
				return nil
			}
		}
		return fmt.Errorf("%q leads", addr)
	})
	return leader, err
}

// load3 has writers write for a while and says how many writes were acknowledged.
func (b *bench) load3(ctx context.Context, name string, put func(ctx context.Context, writer, i int) error, target float64, used func() (time.Duration, error)) error {
	if _, _, err := write(ctx, put, time.Second); err != nil { // connections are there, then
		return fmt.Errorf("%s: %w", name, err)
	}
	before, err := used()
	if err != nil {
		return err
	}
	begin := time.Now()
	count, took, err := write(ctx, put, writeFor)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	seconds := time.Since(begin).Seconds()
	after, err := used()
	if err != nil {
		return err
	}
	b.atLeast(fmt.Sprintf("%s, %d writers of %d bytes: acknowledged", name, writers, valueSize), float64(count)/seconds, target, "/s")
	b.add("  p50", ms(percentile(took, 50)), 0, "ms")
	b.add("  p99", ms(percentile(took, 99)), 0, "ms")
	b.add("  CPU of the three per write", (after-before).Seconds()*1e6/float64(count), 0, "us")
	return nil
}

// write has the writers write, and returns how many writes were acknowledged and how long each took.
func write(ctx context.Context, put func(ctx context.Context, writer, i int) error, d time.Duration) (int64, []time.Duration, error) {
	var (
		wg    sync.WaitGroup
		count atomic.Int64
		took  [writers][]time.Duration
		errs  [writers]error
		end   = time.Now().Add(d)
	)
	for w := range writers {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				begin := time.Now()
				if errs[w] = put(ctx, w, i); errs[w] != nil {
					return
				}
				took[w] = append(took[w], time.Since(begin))
				count.Add(1)
			}
		})
	}
	wg.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return count.Load(), all, errors.Join(errs[:]...)
}

// etcdProgram is where Debian's package has it.
const etcdProgram = "/usr/bin/etcd"

// etcd measures writes to three members of etcd on the same disk, in the same form of three
// processes on loopback, if it is installed.
func (b *bench) etcd(ctx context.Context) error {
	if _, err := os.Stat(etcdProgram); err != nil {
		fmt.Fprintln(os.Stderr, "bench: writes: there is no etcd to compare with; Debian has it: apt-get install etcd-server")
		return nil //nolint:nilerr // our own figures stand
	}
	dir := filepath.Join(b.dir, "etcd")
	members, err := startEtcd(ctx, dir)
	defer func() {
		for _, m := range members {
			m.end()
		}
	}()
	if err != nil {
		return err
	}
	client := members[0].client()
	defer client.CloseIdleConnections()
	leader := 0
	if err := machine.Until(ctx, "etcd takes writes", func(ctx context.Context) (err error) {
		leader, err = etcdLeader(ctx, client, members)
		return err
	}); err != nil {
		return err
	}
	value := strings.Repeat("v", valueSize)
	put := func(ctx context.Context, writer, i int) error {
		return members[leader].put(ctx, client, fmt.Sprintf("bench/%d/%d", writer, i%writeKeys), value)
	}
	return b.load3(ctx, "3 members of etcd, keys", put, 0, func() (sum time.Duration, err error) {
		for _, m := range members {
			cpu, err := machine.CPUTime(m.cmd.Process.Pid)
			if err != nil {
				return 0, err
			}
			sum += cpu
		}
		return sum, nil
	})
}
