package cli

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// methodFlags are the flags of what an auth method has.
type methodFlags struct {
	method nomadish.ACLAuthMethod
	ttl    time.Duration
	config string
}

func (f *methodFlags) register(c *call) {
	c.flags.StringVar(&f.method.Type, "type", "", "JWT, or OIDC, by which nobody can log in yet")
	c.flags.DurationVar(&f.ttl, "max-token-ttl", 0, "`time` that tokens of a login are good for, such as 8h")
	c.flags.StringVar(&f.method.TokenLocality, "token-locality", "", "local, or global: where tokens of a login are known")
	c.flags.StringVar(&f.method.TokenNameFormat, "token-name-format", "", "`name` of tokens of a login; may hold ${value.NAME}, ${auth_method_type} and ${auth_method_name}")
	c.flags.BoolVar(&f.method.Default, "default", false, "log in by this method where none is named")
	c.flags.StringVar(&f.config, "config", "", "whose tokens are believed, and what of them counts: JSON, a `file` of it with @ before its name, or - for standard input")
}

// read takes over what the flags say.
func (f *methodFlags) read(c *call) (*nomadish.ACLAuthMethod, error) {
	m := f.method
	m.MaxTokenTTL = nomadish.TextDuration(f.ttl)
	if f.config == "" {
		return &m, nil
	}
	text := []byte(f.config)
	if !strings.HasPrefix(strings.TrimSpace(f.config), "{") {
		var err error
		if text, err = c.readText(strings.TrimPrefix(f.config, "@")); err != nil {
			return nil, err
		}
	}
	m.Config = &nomadish.ACLAuthMethodConfig{}
	if err := nomadish.DecodeJSON(bytes.TrimSpace(text), m.Config); err != nil {
		return nil, c.misused("-config: %w", err)
	}
	return &m, nil
}

func aclAuthMethodCreateCommand() command {
	return command{
		words: "acl auth-method create", summary: "Make a way to log in with tokens of another system",
		example: `  nomadish acl auth-method create -name ci -type JWT -max-token-ttl 1h -token-locality local -default \
    -config '{"JWKSURL": "https://ci.example.com/jwks", "BoundAudiences": ["nomad"], "ClaimMappings": {"project": "project"}}'`,
		reads: true,
		run:   runACLAuthMethodCreate,
	}
}

func runACLAuthMethodCreate(ctx context.Context, c *call) error {
	c.readFlags()
	var f methodFlags
	c.flags.StringVar(&f.method.Name, "name", "", "the method's `name`; required")
	f.register(c)
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if f.method.Name == "" {
		return c.misused("-name is missing")
	}
	method, err := f.read(c)
	if err != nil {
		return err
	}
	made, err := client.ACL().PutAuthMethod(ctx, method)
	if err != nil {
		return err
	}
	return c.show(made, func(p *page) { methodFields(p, made) })
}

func aclAuthMethodUpdateCommand() command {
	return command{
		words: "acl auth-method update", args: "NAME", summary: "Change an auth method",
		help:    "  What no flag says stays; -config replaces the whole of it.",
		example: "  nomadish acl auth-method update -max-token-ttl 2h ci",
		reads:   true,
		run:     runACLAuthMethodUpdate,
	}
}

func runACLAuthMethodUpdate(ctx context.Context, c *call) error {
	c.readFlags()
	var f methodFlags
	f.register(c)
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	old, _, err := client.ACL().AuthMethod(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "auth method", c.args[0])
	}
	method, err := f.read(c)
	if err != nil {
		return err
	}
	method.Name = old.Name
	method.Default = method.Default || old.Default
	changed, err := client.ACL().PutAuthMethod(ctx, method)
	if err != nil {
		return err
	}
	return c.show(changed, func(p *page) { methodFields(p, changed) })
}

func methodFields(p *page, m *nomadish.ACLAuthMethod) {
	p.fields([][2]string{
		{"Name", m.Name},
		{"Type", m.Type},
		{"Locality", m.TokenLocality},
		{"Max Token TTL", m.MaxTokenTTL.String()},
		{"Token Name Format", m.TokenNameFormat},
		{"Default", yesNo(m.Default)},
		{"Create Index", number(m.CreateIndex)},
		{"Modify Index", number(m.ModifyIndex)},
	}...)
	if m.Config == nil {
		return
	}
	p.title("Auth Method Config")
	if text, err := indented(m.Config); err == nil {
		p.line("%s", text)
	}
}

func aclAuthMethodInfoCommand() command {
	return command{
		words: "acl auth-method info", args: "NAME", summary: "Show an auth method, without its secrets",
		example: "  nomadish acl auth-method info ci",
		reads:   true,
		run:     runACLAuthMethodInfo,
	}
}

func runACLAuthMethodInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	method, _, err := client.ACL().AuthMethod(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "auth method", c.args[0])
	}
	return c.show(method, func(p *page) { methodFields(p, method) })
}

func aclAuthMethodListCommand() command {
	return command{
		words: "acl auth-method list", summary: "List the ways to log in",
		example: "  nomadish acl auth-method list",
		reads:   true,
		run:     runACLAuthMethodList,
	}
}

func runACLAuthMethodList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	methods, _, err := client.ACL().AuthMethods(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(methods, func(p *page) {
		if len(methods) == 0 {
			p.line("No auth methods")
			return
		}
		rows := make([][]string, len(methods))
		for i, m := range methods {
			rows[i] = []string{m.Name, m.Type, yesNo(m.Default)}
		}
		p.table([]string{"Name", "Type", "Default"}, rows)
	})
}

func aclAuthMethodDeleteCommand() command {
	return command{
		words: "acl auth-method delete", args: "NAME", summary: "Remove an auth method",
		help:    "  Tokens of earlier logins stay good until they expire. Binding rules of the method stay, without effect.",
		example: "  nomadish acl auth-method delete ci",
		run:     runACLAuthMethodDelete,
	}
}

func runACLAuthMethodDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ACL().DeleteAuthMethod(ctx, c.args[0]); err != nil {
		return missing(err, "auth method", c.args[0])
	}
	return c.print("Auth method %q is removed.\n", c.args[0])
}
