package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// defaultDrainDeadline is after what time a drain moves by force what is left.
const defaultDrainDeadline = time.Hour

func nodeDrainCommand() command {
	return command{
		words: "node drain", args: "[NODE]", summary: "Empty a node, or stop doing so",
		help: `  NODE is the node's name, or its ID or the beginning of one. Services move a few at a time, as the migrate blocks of their groups say;
  batch work runs on. After the deadline whatever is left is moved by force. The command waits until the node is empty; -detach does not.`,
		example: "  nomadish node drain -enable -deadline 10m web-1",
		run:     runNodeDrain,
	}
}

// drainFlags are the flags of node drain.
type drainFlags struct {
	enable, disable, monitor, self, force, noDeadline bool
	ignoreSystem, keepIneligible, detach, yes         bool
	deadline                                          time.Duration
	message                                           string
	meta                                              []string
}

func (f *drainFlags) declare(c *call) {
	c.flags.BoolVar(&f.enable, "enable", false, "empty the node")
	c.flags.BoolVar(&f.disable, "disable", false, "stop emptying the node, and let new work be placed on it")
	c.flags.BoolVar(&f.monitor, "monitor", false, "wait until a drain that goes on is over")
	c.flags.BoolVar(&f.self, "self", false, "the node of the agent that is asked")
	c.flags.DurationVar(&f.deadline, "deadline", defaultDrainDeadline, "after this `time` what is left is moved by force")
	c.flags.BoolVar(&f.force, "force", false, "move everything at once")
	c.flags.BoolVar(&f.noDeadline, "no-deadline", false, "wait for work to end for as long as it takes")
	c.flags.BoolVar(&f.ignoreSystem, "ignore-system", false, "leave allocations of system jobs where they are")
	c.flags.BoolVar(&f.keepIneligible, "keep-ineligible", false, "with -disable: nothing new is placed on the node")
	c.flags.BoolVar(&f.detach, "detach", false, "do not wait")
	c.flags.BoolVar(&f.yes, "yes", false, "nothing is asked in any case: for scripts that say it")
	c.flags.StringVar(&f.message, "m", "", "`text` to keep with the drain, as its metadata's message")
	c.flags.Func("meta", "`KEY=VALUE` to keep with the drain; may be repeated", func(pair string) error {
		if !strings.Contains(pair, "=") {
			return errors.New("want KEY=VALUE")
		}
		f.meta = append(f.meta, pair)
		return nil
	})
}

// check says how the flags contradict each other.
func (f *drainFlags) check(args int) error {
	modes := 0
	for _, on := range []bool{f.enable, f.disable, f.monitor && !f.enable} {
		if on {
			modes++
		}
	}
	switch {
	case modes != 1:
		return errors.New("want one of -enable, -disable and -monitor")
	case f.self == (args == 1):
		return errors.New("want either NODE or -self")
	case !f.enable && (f.force || f.noDeadline || f.ignoreSystem || f.deadline != defaultDrainDeadline):
		return errors.New("-deadline, -force, -no-deadline and -ignore-system go with -enable")
	case f.force && f.noDeadline, (f.force || f.noDeadline) && f.deadline != defaultDrainDeadline:
		return errors.New("want one of -deadline, -force and -no-deadline")
	case f.deadline <= 0:
		return errors.New("-deadline: must be more than nothing: see -force and -no-deadline")
	case f.keepIneligible && !f.disable:
		return errors.New("-keep-ineligible goes with -disable")
	case f.detach && f.monitor:
		return errors.New("want one of -detach and -monitor")
	}
	return nil
}

// request is what the flags ask for.
func (f *drainFlags) request(nodeID string) *nomadish.NodeDrainRequest {
	req := &nomadish.NodeDrainRequest{NodeID: nodeID, MarkEligible: f.disable && !f.keepIneligible}
	if f.message != "" || len(f.meta) > 0 {
		req.Meta = map[string]string{}
	}
	for _, pair := range f.meta {
		key, value, _ := strings.Cut(pair, "=")
		req.Meta[key] = value
	}
	if f.message != "" {
		req.Meta["message"] = f.message
	}
	if f.enable {
		req.DrainSpec = &nomadish.DrainSpec{Deadline: f.deadline, IgnoreSystemJobs: f.ignoreSystem}
		if f.noDeadline {
			req.DrainSpec.Deadline = 0
		}
		if f.force {
			req.DrainSpec.Deadline = -1
		}
	}
	return req
}

func runNodeDrain(ctx context.Context, c *call) error {
	var f drainFlags
	c.remoteFlags()
	f.declare(c)
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := f.check(len(c.args)); err != nil {
		return c.misused("%s", err)
	}
	node, err := c.nodeOrSelf(ctx, client, f.self)
	if err != nil {
		return err
	}
	if f.monitor && !f.enable {
		return c.watchDrain(ctx, client, node)
	}
	if _, err := client.Nodes().Drain(ctx, f.request(node.ID)); err != nil {
		return err
	}
	if f.disable {
		return c.print("Node %s (%s) is not drained any more.\n", node.Name, c.id(node.ID))
	}
	if err := c.print("Node %s (%s) drains.\n", node.Name, c.id(node.ID)); err != nil || f.detach {
		return err
	}
	return c.watchDrain(ctx, client, node)
}

// nodeOrSelf returns the node that the arguments name, or that of the agent that is asked.
func (c *call) nodeOrSelf(ctx context.Context, client *api.Client, self bool) (*nomadish.Node, error) {
	if !self {
		return c.findNode(ctx, client, c.args[0])
	}
	agent, err := client.Agent().Self(ctx)
	if err != nil {
		return nil, err
	}
	id := agent.Stats["client"]["node_id"]
	if id == "" {
		return nil, errors.New("the agent that is asked is no client node")
	}
	return c.findNode(ctx, client, id)
}

// watchDrain tells what a drain does until it is over.
func (c *call) watchDrain(ctx context.Context, client *api.Client, node *nomadish.Node) error {
	said := map[string]string{}
	told := node.ModifyIndex // of the newest event that is known
	q := &api.Query{}
	for {
		allocs, meta, err := client.Nodes().Allocations(ctx, node.ID, q)
		if err != nil {
			return err
		}
		for _, a := range allocs {
			state := drainState(a)
			if state == "" || said[a.ID] == state {
				continue
			}
			said[a.ID] = state
			if err := c.print("Allocation %s of job %s %s.\n", c.id(a.ID), a.JobID, state); err != nil {
				return err
			}
		}
		n, _, err := client.Nodes().Node(ctx, node.ID, nil)
		if err != nil {
			return err
		}
		if told, err = c.drainEvents(n, told); err != nil {
			return err
		}
		if n.DrainStrategy == nil {
			return c.drainOver(n)
		}
		q = &api.Query{MinIndex: meta.Index, Wait: 2 * time.Second} // the drain may end without a change of its allocations
	}
}

// drainEvents tells what has happened to a node's drain since an index.
func (c *call) drainEvents(n *nomadish.Node, since uint64) (newest uint64, err error) {
	newest = since
	for _, e := range n.Events {
		if e.Subsystem != "Drain" || e.CreateIndex <= since {
			continue
		}
		newest = max(newest, e.CreateIndex)
		details := ""
		for _, key := range slices.Sorted(maps.Keys(e.Details)) {
			details += fmt.Sprintf(" %s=%q", key, e.Details[key])
		}
		if err := c.print("%s.%s\n", e.Message, details); err != nil {
			return newest, err
		}
	}
	return newest, nil
}

// drainState is what becomes of an allocation that leaves; empty: nothing yet.
func drainState(a *nomadish.Allocation) string {
	switch {
	case a.ClientTerminal():
		return "has ended: " + a.ClientStatus
	case a.ServerTerminal():
		return "stops"
	case nomadish.Val(a.DesiredTransition.Migrate):
		return "is to move"
	}
	return ""
}

func (c *call) drainOver(n *nomadish.Node) error {
	if n.LastDrain != nil && n.LastDrain.Status == nomadish.DrainCanceled {
		return c.print("The drain of node %s (%s) was canceled.\n", n.Name, c.id(n.ID))
	}
	return c.print("Node %s (%s) is drained.\n", n.Name, c.id(n.ID))
}
