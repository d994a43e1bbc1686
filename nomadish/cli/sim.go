package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/nodesim"
)

func simCommand() command {
	return command{
		words: "sim", summary: "Simulate client nodes, to measure servers with",
		help: `  Each node has a connection, an identity, a lease and a watch of its own. It runs nothing: an
  allocation is running when the node says so. Once a second a line tells how it goes. An
  interrupt ends the nodes; with -purge the servers forget them then, otherwise they take them
  for down after a while. Batch jobs end by themselves, services when they are stopped.

  The same seed gives the same nodes, secrets included: never use them in a cluster that matters.
  Servers take at most 100 connections from one address that are not known yet, which the nodes
  keep below, and 8192 in all.`,
		example: "  nomadish sim -nodes 5000 -servers 127.0.0.1:4647",
		run:     runSim,
	}
}

func runSim(ctx context.Context, c *call) error {
	var (
		cfg      nodesim.Config
		servers  = "127.0.0.1:4647"
		every    = time.Second
		asJSON   bool
		purge    bool
		duration time.Duration
		token    string
	)
	c.remoteFlags()
	c.flags.IntVar(&cfg.Nodes, "nodes", 100, "how many")
	c.flags.StringVar(&servers, "servers", servers, "`addresses` of servers for other agents, with commas between them")
	c.flags.StringVar(&cfg.Datacenter, "dc", "dc1", "the nodes' datacenter")
	c.flags.StringVar(&cfg.NodePool, "node-pool", nomadish.NodePoolDefault, "the nodes' pool")
	c.flags.Uint64Var(&cfg.Seed, "seed", 1, "of the nodes' identities and kinds")
	c.flags.Float64Var(&cfg.Pace, "pace", 200, "nodes that start per second")
	c.flags.DurationVar(&cfg.RunAfter, "run-after", 0, "time from an allocation's arrival until it runs")
	c.flags.DurationVar(&cfg.RunFor, "run-for", 10*time.Second, "how long allocations of batch jobs, and those that fail, run")
	c.flags.Float64Var(&cfg.Fail, "fail", 0, "share of allocations that fail, from 0 to 1")
	c.flags.BoolVar(&cfg.Hold, "hold", false, "report nothing of allocations until a line comes from standard input")
	c.flags.StringVar(&cfg.CertFile, "node-cert", "", "`file` of the certificate that all nodes show servers, for client.REGION.nomad")
	c.flags.StringVar(&cfg.KeyFile, "node-key", "", "`file` of its key")
	c.flags.StringVar(&cfg.CAFile, "node-ca", "", "`file` of the authority that servers' certificates are of")
	c.flags.StringVar(&token, "intro-token", "", "`token` that introduces the nodes; see node intro create")
	c.flags.BoolVar(&purge, "purge", false, "have the servers forget the nodes at the end")
	c.flags.DurationVar(&duration, "for", 0, "end after this time; default: with an interrupt")
	c.flags.DurationVar(&every, "interval", every, "time between two lines")
	c.flags.BoolVar(&asJSON, "json", false, "print lines of JSON")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if every <= 0 || duration < 0 {
		return c.misused("-interval must be positive, and -for not negative")
	}
	cfg.Region, cfg.IntroToken = c.remote.region, nomadish.SecretText(token)
	cfg.Servers = strings.FieldsFunc(servers, func(r rune) bool { return r == ',' || r == ' ' })
	if purge {
		cfg.Purge = func(ctx context.Context, id string) error {
			_, err := client.Nodes().Purge(ctx, id)
			return err
		}
	}
	fleet, err := nodesim.New(cfg)
	if err != nil {
		return err
	}
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	if cfg.Hold {
		go c.releaseOnLine(fleet) // a read of standard input can't be ended
	}
	return lifecycle.Run(ctx, func(ctx context.Context) error { return c.tellFleet(ctx, fleet, every, asJSON) }, fleet.Run)
}

// releaseOnLine lets a fleet report when a line has come.
func (c *call) releaseOnLine(fleet *nodesim.Fleet) {
	if _, err := bufio.NewReader(c.Stdin).ReadString('\n'); err == nil {
		fleet.Release()
	}
}

// tellFleet prints how a fleet is doing, until ctx ends.
func (c *call) tellFleet(ctx context.Context, fleet *nodesim.Fleet, every time.Duration, asJSON bool) error {
	begin := time.Now()
	last, lastAt := fleet.Figures(), begin
	for {
		over := lifecycle.Sleep(ctx, every) != nil
		now, at := fleet.Figures(), time.Now()
		line := fleetLine(last, now, at.Sub(begin), at.Sub(lastAt))
		if asJSON {
			b, err := nomadish.EncodeJSON(now)
			if err != nil {
				return err
			}
			line = string(b)
		}
		if err := c.print("%s\n", line); err != nil || over {
			return err
		}
		last, lastAt = now, at
	}
}

// fleetLine tells people what has happened since the line before.
func fleetLine(last, now nodesim.Figures, since, took time.Duration) string {
	rate := func(before, after uint64) float64 { return float64(after-before) / max(took.Seconds(), 1e-3) }
	b := &strings.Builder{}
	fmt.Fprintf(b, "%5.0fs  online %d/%d  heartbeats %.0f/s", since.Seconds(), now.Online, now.Nodes, rate(last.Heartbeats, now.Heartbeats))
	fmt.Fprintf(b, "  allocs %d arrived (%.0f/s), %d running, %d ended", now.Arrived, rate(last.Arrived, now.Arrived), now.Running, now.Ended)
	for _, l := range []struct {
		name string
		nodesim.Latency
	}{{"register", now.Register}, {"heartbeat", now.Heartbeat}, {"report", now.Report}} {
		if l.Count > 0 {
			fmt.Fprintf(b, "  %s p50 %s p99 %s", l.name, brief(l.P50), brief(l.P99))
		}
	}
	if now.Errors > 0 {
		fmt.Fprintf(b, "  errors %d (%s)", now.Errors, cmp.Or(now.LastError, "?"))
	}
	return b.String()
}

// brief is a short time with three digits or so.
func brief(d time.Duration) string {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
