package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

func joinCommand() command {
	return command{
		words: "join", args: "TOKEN ADDRESS...", summary: "Make this machine a server or a client node of a cluster",
		help: `  The join token says which of both; "nomadish join-token create" makes one, and so does
  "nomadish init". ADDRESS is a server's, its port 4647 if none is given. With - for TOKEN it is read from
  standard input.

  The machine gets a certificate of the cluster's authority, a configuration, and for a server the keys that
  servers share. Where systemd runs and the package is installed the agent runs as its service, else in this
  process. A machine that has joined before keeps its identity: that is how an agent comes back whose certificate has ended.`,
		example: "  nomadish join nomadish-join-client-Vq3… 10.0.0.5",
		reads:   true, run: runJoin,
	}
}

// newMember is what join tells programs.
type newMember struct {
	Role, ID, Region, Address, Config, DataDir, Context string
	Steps                                               []string
}

func runJoin(ctx context.Context, c *call) error {
	s := &setup{c: c}
	s.register()
	c.outputFlags()
	c.flags.StringVar(&s.dc, "dc", "", "datacenter of this machine; default: that of the server that is asked")
	pool := c.flags.String("node-pool", "", "pool of a client node, unless the token says it; default default")
	if err := c.parse(2, -1); err != nil {
		return err
	}
	if c.args[0] == "-" {
		text, err := c.readText("-")
		if err != nil {
			return err
		}
		c.args[0] = strings.TrimSpace(string(text))
	}
	ticket, err := certificate.ParseTicket(nomadish.SecretText(c.args[0]))
	if err != nil {
		return c.misused("%w", err)
	}
	if err := s.places(); err != nil {
		return err
	}
	there, err := s.look()
	if err != nil {
		return err
	}
	if there == oursThere {
		if err := s.readopt(); err != nil {
			return err
		}
	}
	out := &newMember{Role: string(ticket.Role), Address: s.address(), Config: s.config(), DataDir: s.dataDir}
	member, err := s.member(ticket, out)
	if err != nil {
		return err
	}
	if !member {
		if err := s.enter(ctx, out, there, *pool); err != nil {
			return err
		}
	}
	return s.run(ctx, func(ctx context.Context) error { return s.finishJoin(ctx, out) })
}

// member says whether this machine is an agent of the cluster already, with a certificate that is good.
func (s *setup) member(ticket certificate.Ticket, out *newMember) (bool, error) {
	own, authorities, err := agent.Certified(s.dataDir)
	if err != nil || own == nil {
		return false, err
	}
	names, err := certificate.ParseNames(own)
	if err != nil {
		return false, err
	}
	if !slices.Contains(authorities, fmt.Sprintf("%x", ticket.Authority)) {
		return false, fmt.Errorf("this machine belongs to another cluster, or this one has got another certificate authority since.\n\n"+
			"In the first case stop its agent and move %s and %s away; in the second make a new join token", s.dataDir, s.config())
	}
	if names.Agent.Role != ticket.Role {
		return false, fmt.Errorf("this machine is a %s of the cluster already; the join token is for a %s", names.Agent.Role, ticket.Role)
	}
	if is, err := agent.Holds(s.dataDir, names.Agent); err != nil || !is {
		s.tell("the certificate of this machine is for %s, which it is no more: it joins again", names.Agent.URI())
		return false, err
	}
	if !time.Now().Before(own.NotAfter) {
		s.tell("the certificate of this machine ended at %s: it joins again", own.NotAfter.UTC().Format(time.RFC3339))
		return false, nil
	}
	out.ID, out.Region = names.Agent.ID, names.Agent.Region
	s.tell("this machine is a %s of the cluster already", ticket.Role)
	return true, nil
}

// enter joins the cluster and writes the configuration.
func (s *setup) enter(ctx context.Context, out *newMember, there setupState, pool string) error {
	back := func(context.Context) error { return nil }
	if there == packageThere {
		var err error
		if back, err = s.leavePackaged(ctx); err != nil {
			return err
		}
	}
	s.tell("asking %s", strings.Join(s.c.args[1:], ", "))
	resp, who, err := agent.Enter(ctx, agent.Place{DataDir: s.dataDir, Name: s.name, Addrs: s.addrs()}, nomadish.SecretText(s.c.args[0]), s.c.args[1:])
	if err != nil {
		return errors.Join(s.occupied(explainJoin(err)), back(context.WithoutCancel(ctx)))
	}
	out.ID, out.Region = who.ID, who.Region
	s.tell("joined the region %s as a %s with the ID %s", who.Region, who.Role, who.ID)
	if there == oursThere {
		return nil
	}
	return s.writeConfig(s.memberConfig(resp, who, cmp.Or(resp.NodePool, pool)))
}

// explainJoin adds what to do next.
func explainJoin(err error) error {
	switch nomadish.KindOf(err) {
	case nomadish.KindDenied:
		return fmt.Errorf("%w\n\nMake a new one on a machine of the cluster with \"nomadish join-token create\"", err)
	case nomadish.KindInvalid:
		return err
	}
	return fmt.Errorf("%w\n\nThe address must be that of a server, its port for other agents (4647), and be reached from here", err)
}

// memberConfig is the configuration of who has joined.
func (s *setup) memberConfig(resp *nomadish.EnrollResponse, who certificate.Identity, pool string) string {
	var b strings.Builder
	s.common(&b, "join", who.Region, cmp.Or(s.dc, resp.Datacenter))
	if resp.ACL {
		b.WriteString("\nacl {\n  enabled = true\n}\n")
	}
	if who.Role == certificate.Client {
		fmt.Fprintf(&b, "\nclient {\n  enabled = true\n  servers = [%s]\n", hclList(resp.Servers))
		if pool != "" {
			fmt.Fprintf(&b, "  node_pool = %q\n", pool)
		}
		b.WriteString("}\n")
		return b.String()
	}
	b.WriteString("\nserver {\n  enabled = true\n")
	if resp.GossipKey != "" {
		fmt.Fprintf(&b, "  encrypt = %q\n", resp.GossipKey.Reveal())
	}
	fmt.Fprintf(&b, "\n  server_join {\n    retry_join = [%s]\n  }\n}\n", hclList(resp.Gossip))
	return b.String()
}

func hclList(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

// finishJoin keeps where the cluster is, and says what there is now.
func (s *setup) finishJoin(_ context.Context, out *newMember) error {
	all, err := s.c.contexts()
	if err != nil {
		return err
	}
	out.Context = cmp.Or(s.contextName, out.Region)
	if all.dir != "" && all.Contexts[out.Context] == nil {
		authorities, err := os.ReadFile(agent.Certificates(s.dataDir).Authorities())
		if err != nil {
			return err
		}
		if err := all.keep(out.Context, &contextEntry{Address: s.address(), Host: ownName}, authorities); err != nil {
			return err
		}
	}
	out.Steps = s.steps
	return s.c.show(out, func(p *page) {
		p.title("This machine is a %s of the region %s.", out.Role, out.Region)
		p.line("Commands find it by the context %s; for those that need a token:\n  nomadish context set %s -token-stdin", out.Context, out.Context)
	})
}
