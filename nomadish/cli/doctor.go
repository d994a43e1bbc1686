package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func doctorCommand() command {
	return command{
		words: "doctor", summary: "Check this machine and the cluster, and say what to do about what is wrong",
		help: `  Each check is ok, a warning or a failure. The machine is checked for what a client node
  needs; nothing is changed. -machine and -cluster check one of both alone.`,
		example: "  nomadish doctor\n  nomadish doctor -machine -json",
		exits: `  0   nothing has failed; there may be warnings
  1   a check has failed
  64  the command line is wrong`,
		reads: true,
		run:   runDoctor,
	}
}

// finding is what a check has found.
type finding struct {
	Check  string
	Status string // ok, warning or failure
	Detail string
	Next   string `json:",omitempty"` // what to do about it
}

// States of findings.
const (
	findingOK      = "ok"
	findingWarning = "warning"
	findingFailure = "failure"
)

// checkTimeout bounds the questions to the cluster.
const checkTimeout = 10 * time.Second

func ok(format string, args ...any) finding {
	return finding{Status: findingOK, Detail: fmt.Sprintf(format, args...)}
}

func warning(next, format string, args ...any) finding {
	return finding{Status: findingWarning, Detail: fmt.Sprintf(format, args...), Next: next}
}

func failing(next, format string, args ...any) finding {
	return finding{Status: findingFailure, Detail: fmt.Sprintf(format, args...), Next: next}
}

func (f finding) of(check string) finding {
	f.Check = check
	return f
}

func runDoctor(ctx context.Context, c *call) error {
	machine, cluster, dir := false, false, ""
	c.readFlags()
	c.flags.BoolVar(&machine, "machine", false, "check this machine alone")
	c.flags.BoolVar(&cluster, "cluster", false, "check the cluster alone")
	c.flags.StringVar(&dir, "data-dir", "", "`directory` of the agent's data; default /var/lib/nomadish if it is there, or /")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var all []finding
	reached := false
	if cluster || !machine {
		var found []finding
		found, reached = clusterFindings(ctx, client, c.Now)
		all = append(all, found...)
	}
	if machine || !cluster {
		all = append(all, machineFindings(ctx, dir, reached)...)
	}
	if err := c.show(all, func(p *page) { c.findingsPage(p, all) }); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(f finding) bool { return f.Status == findingFailure }) {
		return &exit{code: ExitFailed}
	}
	return nil
}

func (c *call) findingsPage(p *page, all []finding) {
	counts := map[string]int{}
	for _, f := range all {
		counts[f.Status]++
		p.line("%-8s %s: %s", f.Status, f.Check, cell(f.Detail))
		if f.Next != "" {
			for _, line := range wrap(f.Next, 70) {
				p.line("         -> %s", line)
			}
		}
	}
	p.title("%s, %s, %d ok.", plural(counts[findingFailure], "failure"), plural(counts[findingWarning], "warning"), counts[findingOK])
}

// clusterFindings checks what the agent that is asked knows; reached says that it answers.
func clusterFindings(ctx context.Context, client *api.Client, now func() time.Time) (all []finding, reached bool) {
	self, err := client.Agent().Self(ctx)
	if err != nil {
		var no *url.Error
		if errors.As(err, &no) {
			return []finding{failing("Start an agent here with \"nomadish agent\", or name one with NOMAD_ADDR or -address.",
				"no answer from %s: %v", origin(no.URL), no.Err).of("agent")}, false
		}
		return []finding{failing("See to the token: NOMAD_TOKEN or -token.", "it refuses: %v", err).of("agent")}, true
	}
	all = append(all, ok("%s answers, build %s", cmp.Or(self.Member.Name, "the agent"), cmp.Or(self.Member.Tags["build"], "unknown")).of("agent"))
	if clock, err := client.Agent().Clock(ctx, now); err != nil {
		all = append(all, warning("", "can't be compared: %v", err).of("clock"))
	} else {
		all = append(all, clockFinding(clock).of("clock"))
	}
	if leader, err := client.Status().Leader(ctx); err != nil || leader == "" {
		all = append(all, failing("More than half of the servers have to run and reach each other on port 4647: see \"nomadish server members\".",
			"the cluster has no leader: %v", cmp.Or(err, errors.New("none is known"))).of("leader"))
	} else {
		all = append(all, ok("%s", leader).of("leader"))
	}
	if members, err := client.Agent().Members(ctx); err != nil {
		all = append(all, warning("", "can't be listed: %v", err).of("servers"))
	} else {
		all = append(all, memberFinding(members.Members).of("servers"))
		all = append(all, savedFindings(ctx, client, members, now)...)
	}
	if nodes, _, err := client.Nodes().List(ctx, nil); err != nil {
		all = append(all, warning("", "can't be listed: %v", err).of("nodes"))
	} else {
		all = append(all, nodeFindings(nodes)...)
	}
	return all, true
}

// Differences of clocks that are told: certificates, tokens and the times in logs and events
// suffer from the first, and from the second leases and one-time tokens.
const (
	skewWarning = 2 * time.Second
	skewFailure = time.Minute
)

// clockFinding compares this machine's clock with that of the agent that answered.
func clockFinding(c api.Clock) finding {
	skew, way := c.Skew(), "ahead of"
	if skew < 0 {
		way = "behind"
	}
	off := skew.Abs().Round(time.Second)
	const next = "Let both machines keep their time by NTP: see \"timedatectl\", and \"chronyc tracking\" where chrony does it."
	switch trip := c.Received.Sub(c.Sent).Round(time.Millisecond); {
	case off >= skewFailure:
		return failing(next, "the agent's clock is at least %s %s this machine's: certificates, tokens and times can't be relied on", off, way)
	case off >= skewWarning:
		return warning(next, "the agent's clock is at least %s %s this machine's", off, way)
	case trip > skewWarning:
		return warning("Ask again, or from nearer by.", "the answer took %s, too long to compare the clocks", trip)
	}
	return ok("the agent's agrees with this machine's to the second")
}

// memberFinding judges the servers.
func memberFinding(members []*nomadish.Member) finding {
	builds := map[string]int{}
	var gone []string
	for _, m := range members {
		if m.Status != "alive" {
			gone = append(gone, m.Name+" ("+m.Status+")")
			continue
		}
		builds[m.Tags["build"]]++
	}
	alive := len(members) - len(gone)
	switch {
	case len(gone) > 0:
		return failing("Start them again, or remove those that won't come back.", "%d of %s alive; not: %s", alive, plural(len(members), "server"), strings.Join(gone, ", "))
	case len(builds) > 1:
		return warning("Finish the upgrade: servers of different builds are for the time of an upgrade alone.", "%s of different builds: %s",
			plural(alive, "server"), strings.Join(slices.Sorted(maps.Keys(builds)), ", "))
	case alive == 2:
		return warning("Run 1 or 3 servers: with 2 the loss of either stops the cluster.", "2 servers")
	}
	return ok("%s alive", plural(alive, "server"))
}

// nodeFindings judges the client nodes: whether they answer, take work, and can run it.
func nodeFindings(nodes []*nomadish.NodeListStub) (all []finding) {
	if len(nodes) == 0 {
		return []finding{warning("Start an agent with a client block: without nodes nothing runs.", "none").of("nodes")}
	}
	ready := 0
	for _, n := range nodes {
		switch {
		case n.Status == nomadish.NodeStatusDown:
			all = append(all, warning("Start its agent; \"nomadish node status "+n.Name+"\" tells more.", "it is down: %s", cmp.Or(n.StatusDescription, "it does not answer")).of("node "+n.Name))
		case n.Status == nomadish.NodeStatusReady && n.SchedulingEligibility == nomadish.NodeEligible:
			ready++
		}
		for _, name := range slices.Sorted(maps.Keys(n.Drivers)) {
			if d := n.Drivers[name]; d != nil && d.Detected && !d.Healthy {
				all = append(all, warning("Tasks of this driver are not placed there until it is healthy.", "driver %s is not healthy: %s", name, d.HealthDescription).of("node "+n.Name))
			}
		}
	}
	summary := ok("%d of %s ready for work", ready, plural(len(nodes), "node"))
	if ready == 0 {
		summary = failing("See \"nomadish node status\": nodes are down, drained or not eligible.", "none of %s is ready for work", plural(len(nodes), "node"))
	}
	return append([]finding{summary.of("nodes")}, all...)
}
