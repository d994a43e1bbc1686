package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// orNone writes names for people.
func orNone(words []string) string { return cmp.Or(list(words), "<none>") }

// tokenFlags are the flags of what a token has.
type tokenFlags struct {
	name     string
	kind     string
	policies many
	roleIDs  many
	roles    many
	ttl      time.Duration
	global   bool
}

func (f *tokenFlags) register(c *call) {
	c.flags.StringVar(&f.name, "name", "", "`name` for people")
	c.flags.StringVar(&f.kind, "type", "", "client, which may do what its policies and roles say, or management; default client")
	c.flags.Var(&f.policies, "policy", "`policy` of the token; may be given several times")
	c.flags.Var(&f.roleIDs, "role-id", "`ID` of a role of the token; may be given several times")
	c.flags.Var(&f.roles, "role-name", "`name` of a role of the token; may be given several times")
	c.flags.BoolVar(&f.global, "global", false, "the token is known in all regions")
}

func (f *tokenFlags) links() (links []*nomadish.ACLTokenRoleLink) {
	for _, id := range f.roleIDs {
		links = append(links, &nomadish.ACLTokenRoleLink{ID: id})
	}
	for _, name := range f.roles {
		links = append(links, &nomadish.ACLTokenRoleLink{Name: name})
	}
	return links
}

func aclTokenCreateCommand() command {
	return command{
		words: "acl token create", summary: "Make a token",
		help:    "  The secret is what its holder sets as NOMAD_TOKEN. Who manages tokens can see it again with \"acl token info\".",
		example: "  nomadish acl token create -name ci -policy deploy -ttl 8h",
		reads:   true,
		run:     runACLTokenCreate,
	}
}

func runACLTokenCreate(ctx context.Context, c *call) error {
	c.readFlags()
	var f tokenFlags
	f.register(c)
	c.flags.DurationVar(&f.ttl, "ttl", 0, "`time` that the token is good for, such as 8h; default: it does not expire")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	token, err := client.ACL().PutToken(ctx, &nomadish.ACLToken{
		Name: f.name, Type: cmp.Or(f.kind, nomadish.ACLTokenClient), Policies: f.policies, Roles: f.links(),
		Global: f.global, ExpirationTTL: nomadish.TextDuration(f.ttl),
	})
	if err != nil {
		return err
	}
	return c.showToken(token, func(p *page) { tokenFields(p, token) })
}

func aclTokenUpdateCommand() command {
	return command{
		words: "acl token update", args: "ACCESSOR", summary: "Change a token",
		help:    "  What no flag says stays. Policies and roles are those of the flags, if one of these is given.",
		example: "  nomadish acl token update -policy readonly 5a36a2d5-9b3f-4fd5-a5c7-4a9f0a6b0b1d",
		reads:   true,
		run:     runACLTokenUpdate,
	}
}

func runACLTokenUpdate(ctx context.Context, c *call) error {
	c.readFlags()
	var f tokenFlags
	f.register(c)
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	token, _, err := client.ACL().Token(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "token", c.args[0])
	}
	token.Name = cmp.Or(f.name, token.Name)
	token.Type = cmp.Or(f.kind, token.Type)
	if len(f.policies) > 0 {
		token.Policies = f.policies
	}
	if links := f.links(); len(links) > 0 {
		token.Roles = links
	}
	if token.Type == nomadish.ACLTokenManagement {
		token.Policies, token.Roles = nil, nil
	}
	token.Global = token.Global || f.global
	changed, err := client.ACL().PutToken(ctx, token)
	if err != nil {
		return err
	}
	return c.showToken(changed, func(p *page) { tokenFields(p, changed) })
}

func aclTokenInfoCommand() command {
	return command{
		words: "acl token info", args: "ACCESSOR", summary: "Show a token, with its secret",
		example: "  nomadish acl token info 5a36a2d5-9b3f-4fd5-a5c7-4a9f0a6b0b1d",
		reads:   true,
		run:     runACLTokenInfo,
	}
}

func runACLTokenInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	token, _, err := client.ACL().Token(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "token", c.args[0])
	}
	return c.showToken(token, func(p *page) { tokenFields(p, token) })
}

func aclTokenSelfCommand() command {
	return command{
		words: "acl token self", summary: "Show the token that one uses oneself",
		example: "  nomadish acl token self",
		reads:   true,
		run:     runACLTokenSelf,
	}
}

func runACLTokenSelf(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	token, _, err := client.ACL().OwnToken(ctx, nil)
	if err != nil {
		return err
	}
	return c.showToken(token, func(p *page) { tokenFields(p, token) })
}

func aclTokenListCommand() command {
	return command{
		words: "acl token list", summary: "List tokens, without their secrets",
		example: "  nomadish acl token list -filter 'Type == management'",
		reads:   true,
		run:     runACLTokenList,
	}
}

func runACLTokenList(ctx context.Context, c *call) error {
	c.readFlags()
	query := &api.Query{}
	c.flags.StringVar(&query.Filter, "filter", "", "list those alone for which this `expression` over the fields of the JSON holds")
	c.flags.IntVar(&query.PerPage, "per-page", 0, "list at most this many; default: all")
	c.flags.StringVar(&query.NextToken, "page-token", "", "where the page begins: the `token` that the one before ended with")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	tokens, meta, err := client.ACL().Tokens(ctx, query)
	if err != nil {
		return err
	}
	if meta.NextToken != "" {
		defer fmt.Fprintf(c.Stderr, "Next page token: %s\n", printable(meta.NextToken))
	}
	return c.show(tokens, func(p *page) {
		if len(tokens) == 0 {
			p.line("No tokens")
			return
		}
		rows := make([][]string, len(tokens))
		for i, t := range tokens {
			expires, expired := "<none>", "false"
			if t.ExpirationTime != nil {
				expires = t.ExpirationTime.UTC().Format(time.RFC3339)
				if !c.Now().Before(*t.ExpirationTime) {
					expired = "true"
				}
			}
			rows[i] = []string{t.Name, t.Type, yesNo(t.Global), t.AccessorID, expires, expired}
		}
		p.table([]string{"Name", "Type", "Global", "Accessor ID", "Expiry Time", "Expired"}, rows)
	})
}

func aclTokenDeleteCommand() command {
	return command{
		words: "acl token delete", args: "ACCESSOR", summary: "Remove a token, which is good for nothing at once",
		example: "  nomadish acl token delete 5a36a2d5-9b3f-4fd5-a5c7-4a9f0a6b0b1d",
		run:     runACLTokenDelete,
	}
}

func runACLTokenDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ACL().DeleteToken(ctx, c.args[0]); err != nil {
		return missing(err, "token", c.args[0])
	}
	return c.print("Token %s is removed.\n", c.args[0])
}
