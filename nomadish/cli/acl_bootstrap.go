package cli

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func aclBootstrapCommand() command {
	return command{
		words: "acl bootstrap", args: "[FILE]", summary: "Make the first management token of a cluster",
		help: `  This works once. The secret is shown now; keep it where nobody else finds it. With FILE, or - for
  standard input, the secret is what that holds: a UUID.`,
		example: "  nomadish acl bootstrap -t '{{.SecretID}}' >token",
		reads:   true,
		run:     runACLBootstrap,
	}
}

// bootstrapped is what servers answer when there was a first token already.
var bootstrapped = regexp.MustCompile(`ACL bootstrap already done \(reset index: (\d+)\)`)

func runACLBootstrap(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dialBare(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	var secret nomadish.SecretText
	if len(c.args) == 1 {
		text, err := c.readText(c.args[0])
		if err != nil {
			return err
		}
		secret = nomadish.SecretText(bytes.TrimSpace(text))
	}
	token, err := client.ACL().Bootstrap(ctx, secret)
	if err != nil {
		if m := bootstrapped.FindStringSubmatch(err.Error()); m != nil {
			return fmt.Errorf("%w\n\nThere is a first token already. To make another one where it was lost, write %s into the file\n"+
				"server/acl-bootstrap-reset in the leader's data_dir, and run this again", err, m[1])
		}
		return err
	}
	return c.showToken(token, func(p *page) { tokenFields(p, token) })
}

// showToken is show for a token whose secret is asked for: in templates, too, it is not hidden.
func (c *call) showToken(t *nomadish.ACLToken, text func(p *page)) error {
	if c.output.template != "" && !c.output.json {
		return c.fill(struct {
			nomadish.ACLToken
			SecretID string
		}{*t, t.SecretID.Reveal()})
	}
	return c.show(t, text)
}

// dialBare is dial for commands of who has no token yet, or one that is good no more.
func (c *call) dialBare(minArgs, maxArgs int) (*api.Client, error) {
	if err := c.parse(minArgs, maxArgs); err != nil {
		return nil, err
	}
	cfg, err := c.apiConfig()
	if err != nil {
		return nil, err
	}
	cfg.Token = ""
	return api.New(cfg)
}

// tokenFields shows a token, with its secret if that is known.
func tokenFields(p *page, t *nomadish.ACLToken) {
	expires, created := "<none>", ""
	if t.ExpirationTime != nil {
		expires = t.ExpirationTime.UTC().Format(time.RFC3339)
	}
	if !t.CreateTime.IsZero() {
		created = t.CreateTime.UTC().Format(time.RFC3339)
	}
	rows := [][2]string{
		{"Accessor ID", t.AccessorID},
		{"Secret ID", t.SecretID.Reveal()},
		{"Name", t.Name},
		{"Type", t.Type},
		{"Global", fmt.Sprint(t.Global)},
		{"Create Time", created},
		{"Expiry Time", expires},
		{"Create Index", number(t.CreateIndex)},
		{"Modify Index", number(t.ModifyIndex)},
	}
	if t.Type == nomadish.ACLTokenManagement {
		p.fields(append(rows, [2]string{"Policies", "n/a"}, [2]string{"Roles", "n/a"})...)
		return
	}
	p.fields(append(rows, [2]string{"Policies", orNone(t.Policies)})...)
	p.title("Roles")
	if len(t.Roles) == 0 {
		p.line("<none>")
		return
	}
	var roles [][]string
	for _, r := range t.Roles {
		roles = append(roles, []string{r.ID, r.Name})
	}
	p.table([]string{"ID", "Name"}, roles)
}
