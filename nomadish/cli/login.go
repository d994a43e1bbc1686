package cli

import (
	"bytes"
	"context"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func loginCommand() command {
	return command{
		words: "login", summary: "Get a token for a token of another system",
		help: `  Without -method it is the default one of type JWT. What is given is said by the binding rules of the method. Set the
  secret that is shown as NOMAD_TOKEN.`,
		example: "  export NOMAD_TOKEN=$(nomadish login -method ci -login-token @ci.jwt -t '{{.SecretID}}')",
		reads:   true,
		run:     runLogin,
	}
}

func runLogin(ctx context.Context, c *call) error {
	c.readFlags()
	name := c.flags.String("method", "", "`name` of the auth method")
	kind := c.flags.String("type", nomadish.ACLAuthMethodJWT, "type of the default method: JWT")
	token := c.flags.String("login-token", "", "the other system's `token`; with @ before it a file that holds it, - for standard input")
	client, err := c.dialBare(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if *token == "" {
		return c.misused("-login-token is missing")
	}
	if *name == "" {
		if *name, err = c.defaultMethod(ctx, client, *kind); err != nil {
			return err
		}
	}
	if file, ok := strings.CutPrefix(*token, "@"); ok || *token == "-" {
		text, err := c.readText(file)
		if err != nil {
			return err
		}
		*token = string(bytes.TrimSpace(text))
	}
	made, err := client.ACL().Login(ctx, &nomadish.ACLLoginRequest{AuthMethodName: *name, LoginToken: nomadish.SecretText(*token)})
	if err != nil {
		return err
	}
	return c.showToken(made, func(p *page) {
		p.line("Logged in by %s.\n", *name)
		tokenFields(p, made)
	})
}

// defaultMethod is the auth method where none is named.
func (c *call) defaultMethod(ctx context.Context, client *api.Client, kind string) (string, error) {
	methods, _, err := client.ACL().AuthMethods(ctx, nil)
	if err != nil {
		return "", err
	}
	for _, m := range methods {
		if m.Default && strings.EqualFold(m.Type, kind) {
			return m.Name, nil
		}
	}
	return "", c.misused("no auth method of type %s is the default: name one with -method", kind)
}
