package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

func operatorCARevokeCommand() command {
	return command{
		words: "operator ca revoke", args: "[AGENT]", summary: "Refuse the certificates of a server or a node, before they end",
		help: `  AGENT is the ID of a server or a client node, or the beginning of it. All certificates that were signed for it
  until now are refused, with -serial one certificate: servers end its sessions at once and open no others, nodes
  refuse a server within 5 minutes, and it is given no other certificate. With a new join token
  ("nomadish join") the agent comes back with another key. What is revoked is forgotten when it has ended, or when
  the authority that has signed it is replaced.

  Who has a server's disk has more than its certificate: see what the command prints for a server.`,
		example: "  nomadish operator ca revoke -reason stolen 9f3c2a10\n  nomadish operator ca revoke -serial 5d2f00c1",
		reads:   true, run: runOperatorCARevoke,
	}
}

func runOperatorCARevoke(ctx context.Context, c *call) error {
	c.readFlags()
	serial := c.flags.String("serial", "", "`number` in hex of the one certificate to refuse")
	reason := c.flags.String("reason", "", "`text` that is shown with it")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if (*serial == "") == (len(c.args) == 0) {
		return c.misused("either AGENT or -serial must be given")
	}
	req := &nomadish.RevokeRequest{Serial: *serial, Reason: *reason}
	if *serial == "" {
		if req.Role, req.AgentID, err = c.certified(ctx, client, c.args[0]); err != nil {
			return err
		}
	}
	resp, err := client.Authorities().Revoke(ctx, req)
	if err != nil {
		return err
	}
	return c.show(resp.Revoked, func(p *page) { revokedPage(p, resp.Revoked) })
}

// certified finds an agent that has a certificate. One that is forgotten is named with its role: server/ID.
func (c *call) certified(ctx context.Context, client *api.Client, arg string) (role, id string, err error) {
	if role, id, ok := strings.Cut(arg, "/"); ok {
		return role, id, nil
	}
	status, _, err := client.Authorities().Status(ctx, nil)
	if err != nil {
		return "", "", err
	}
	id, err = c.whole("agent", arg, func(*api.Query) ([]candidate, error) {
		return candidates(status.Agents, func(a *nomadish.CertifiedAgent) candidate { return candidate{a.ID, a.Role + " " + a.Name} }), nil
	})
	if err != nil {
		return "", "", err
	}
	for _, a := range status.Agents {
		if a.ID == id {
			return a.Role, id, nil
		}
	}
	return "", "", fmt.Errorf("no agent with the ID %s has a certificate that is known of.\n\nIf it had one long ago, name it as server/%s or client/%s", id, id, id)
}

func revokedPage(p *page, r *nomadish.RevokedCertificate) {
	what := "certificate " + r.Serial
	if r.Serial == "" {
		what = "certificates of " + r.Role + " " + r.AgentID
	}
	p.line("The %s are refused from now on.", what)
	if r.Serial != "" && r.AgentID == "" {
		p.line("It is not the newest one of an agent that is known.")
		return
	}
	p.line("To let the machine in again: \"nomadish join-token create\", and \"nomadish join\" there.")
	if r.Role == string(certificate.Server) {
		p.title("If somebody else has the server's disk, that is the beginning. In this order:")
		p.line("  nomadish operator raft remove-peer -peer-id %s", r.AgentID)
		p.line("  nomadish operator gossip keyring generate, install, use, and remove the old key   # it hears the servers' gossip")
		p.line("  nomadish operator ca rotate                                                       # it has the authority's key")
		p.line("  nomadish operator root keyring rotate -now -full                                  # with another wrapping key: see the docs")
	}
}

func operatorCARevokedCommand() command {
	return command{
		words: "operator ca revoked", summary: "List the certificates that are refused before they end",
		example: "  nomadish operator ca revoked", reads: true,
		run: func(ctx context.Context, c *call) error {
			c.readFlags()
			client, err := c.dial(0, 0)
			if err != nil {
				return err
			}
			defer client.Close()
			resp, _, err := client.Authorities().Status(ctx, nil)
			if err != nil {
				return err
			}
			if resp.Revoked == nil {
				resp.Revoked = []*nomadish.RevokedCertificate{}
			}
			return c.show(resp.Revoked, func(p *page) {
				if len(resp.Revoked) == 0 {
					p.line("No certificate is revoked.")
					return
				}
				p.table(revokedColumns, revokedRows(resp.Revoked, c.remote.verbose))
			})
		},
	}
}

var revokedColumns = []string{"Role", "ID", "Name", "Certificates", "Revoked", "Reason"}

func revokedRows(all []*nomadish.RevokedCertificate, verbose bool) [][]string {
	rows := make([][]string, len(all))
	for i, r := range all {
		id := short(r.AgentID)
		if verbose {
			id = r.AgentID
		}
		which := "all until then"
		if r.Serial != "" {
			which = r.Serial
		}
		rows[i] = []string{r.Role, id, r.Name, which, time.Unix(0, r.Time).UTC().Format(time.RFC3339), r.Reason}
	}
	return rows
}
