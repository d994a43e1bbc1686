package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

func operatorCAStatusCommand() command {
	return command{
		words: "operator ca status", summary: "Show the cluster's certificate authority, and which agents have certificates",
		help: `  While the authority is replaced ("nomadish operator ca rotate") this shows which agents it waits for. Agents
  whose certificates have ended are not waited for: they have to join again.`,
		example: "  nomadish operator ca status",
		reads:   true, run: runOperatorCAStatus,
	}
}

func runOperatorCAStatus(ctx context.Context, c *call) error {
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
	return c.show(resp, func(p *page) { authoritiesPage(p, resp, c.remote.verbose) })
}

func authoritiesPage(p *page, resp *nomadish.AuthoritiesResponse, verbose bool) {
	if len(resp.Authorities) == 0 {
		p.line("This cluster has no certificate authority of its own: \"nomadish init\" makes clusters that have.")
		return
	}
	rows := [][]string{}
	for _, a := range resp.Authorities {
		ends := ""
		if cert, err := x509.ParseCertificate(a.Certificate); err == nil {
			ends = cert.NotAfter.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{shortPrint(a.ID, verbose), string(a.State), ends})
	}
	p.table([]string{"Authority", "State", "Ends"}, rows)
	section(p, "Agents", []string{"Role", "ID", "Name", "Authority", "Certificate Ends"}, agentRows(resp.Agents, verbose))
	if len(resp.Revoked) > 0 {
		section(p, "Revoked", revokedColumns, revokedRows(resp.Revoked, verbose))
	}
	if len(resp.Waiting) > 0 {
		p.title("The change of authorities waits for %s:", plural(len(resp.Waiting), "agent"))
		for _, w := range resp.Waiting {
			p.line("  %s", w)
		}
	}
}

func agentRows(agents []*nomadish.CertifiedAgent, verbose bool) [][]string {
	rows := make([][]string, len(agents))
	for i, a := range agents {
		id := short(a.ID)
		if verbose {
			id = a.ID
		}
		rows[i] = []string{a.Role, id, a.Name, shortPrint(a.AuthorityID, verbose), time.Unix(0, a.NotAfter).UTC().Format(time.RFC3339)}
	}
	return rows
}

func shortPrint(id string, whole bool) string {
	if whole {
		return id
	}
	return id[:min(len(id), 16)]
}

func operatorCARotateCommand() command {
	return command{
		words: "operator ca rotate", summary: "Replace the cluster's certificate authority",
		help: `  A new authority is made. When every agent trusts it, all get certificates of it, and when they have, the old
  one is dropped; open connections go on. That takes minutes, without anybody doing more. The current context learns of the
  new authority at once; other users' contexts need "nomadish operator ca show" (see there). Join tokens
  of the old authority are good no more.`,
		example: "  nomadish operator ca rotate",
		reads:   true, run: runOperatorCARotate,
	}
}

func runOperatorCARotate(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.Authorities().Rotate(ctx)
	if err != nil {
		return err
	}
	if err := c.trustAuthorities(resp.Authorities); err != nil {
		return err
	}
	return c.show(resp, func(p *page) { authoritiesPage(p, resp, c.remote.verbose) })
}

// trustAuthorities has the context that is in use trust the cluster's authorities, if it keeps its own
// file of them.
func (c *call) trustAuthorities(all []*nomadish.Authority) error {
	p, err := c.context()
	if err != nil || p == nil || p.CACert == "" || filepath.Dir(p.CACert) != c.userDir() {
		return err
	}
	text, err := pemOf(all)
	if err != nil {
		return err
	}
	return writeUserFile(p.CACert, text)
}

func pemOf(all []*nomadish.Authority) ([]byte, error) {
	certs := make([]*x509.Certificate, len(all))
	for i, a := range all {
		cert, err := x509.ParseCertificate(a.Certificate)
		if err != nil {
			return nil, fmt.Errorf("authority %s: %w", a.ID, err)
		}
		certs[i] = cert
	}
	return certificate.EncodePEM(certs...), nil
}

func operatorCAShowCommand() command {
	return command{
		words: "operator ca show", summary: "Print the certificates of the cluster's authorities",
		help:    `  They are no secret: who talks to the cluster's API trusts them. The current context takes them over.`,
		example: "  nomadish operator ca show >ca.pem", run: runOperatorCAShow,
	}
}

func runOperatorCAShow(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	resp, _, err := client.Authorities().Trusted(ctx, nil)
	if err != nil {
		return err
	}
	if err := c.trustAuthorities(resp.Authorities); err != nil {
		return err
	}
	text, err := pemOf(resp.Authorities)
	if err != nil {
		return err
	}
	return c.writeMachine(string(text))
}
