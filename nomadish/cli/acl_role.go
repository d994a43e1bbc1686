package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// policyLinks reads a flag of policies that may be there several times.
type policyLinks []*nomadish.ACLRolePolicyLink

// String implements flag.Value.
func (l *policyLinks) String() string {
	var names []string
	for _, link := range *l {
		names = append(names, link.Name)
	}
	return orNone(names)
}

// Set implements flag.Value.
func (l *policyLinks) Set(name string) error {
	*l = append(*l, &nomadish.ACLRolePolicyLink{Name: name})
	return nil
}

func aclRoleCreateCommand() command {
	return command{
		words: "acl role create", summary: "Make a role: policies under a name, for tokens to have",
		example: "  nomadish acl role create -name dev -policy readonly -policy exec",
		reads:   true,
		run:     runACLRoleCreate,
	}
}

func runACLRoleCreate(ctx context.Context, c *call) error {
	c.readFlags()
	role := &nomadish.ACLRole{}
	c.flags.StringVar(&role.Name, "name", "", "the role's `name`; required")
	c.flags.StringVar(&role.Description, "description", "", "what the role is for")
	c.flags.Var((*policyLinks)(&role.Policies), "policy", "`policy` of the role; may be given several times")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if role.Name == "" || len(role.Policies) == 0 {
		return c.misused("-name and -policy are required")
	}
	made, err := client.ACL().PutRole(ctx, role)
	if err != nil {
		return err
	}
	return c.show(made, func(p *page) { roleFields(p, made) })
}

func roleFields(p *page, r *nomadish.ACLRole) {
	policies := policyLinks(r.Policies)
	p.fields([][2]string{
		{"ID", r.ID},
		{"Name", r.Name},
		{"Description", cmp.Or(r.Description, "<none>")},
		{"Policies", policies.String()},
		{"Create Index", number(r.CreateIndex)},
		{"Modify Index", number(r.ModifyIndex)},
	}...)
}

func aclRoleUpdateCommand() command {
	return command{
		words: "acl role update", args: "ID", summary: "Change a role",
		help:    "  What no flag says stays; the policies are those of -policy, if it is given. With -no-merge nothing stays.",
		example: "  nomadish acl role update -policy readonly 3e3a0e3c-61b0-4b8c-a9e4-42a1d3a3d1a5",
		reads:   true,
		run:     runACLRoleUpdate,
	}
}

func runACLRoleUpdate(ctx context.Context, c *call) error {
	c.readFlags()
	wanted := &nomadish.ACLRole{}
	c.flags.StringVar(&wanted.Name, "name", "", "new `name`")
	c.flags.StringVar(&wanted.Description, "description", "", "what the role is for")
	c.flags.Var((*policyLinks)(&wanted.Policies), "policy", "`policy` of the role; may be given several times")
	whole := c.flags.Bool("no-merge", false, "replace the whole role")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	role, err := findRole(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	wanted.ID = role.ID
	if !*whole {
		wanted.Name = cmp.Or(wanted.Name, role.Name)
		wanted.Description = cmp.Or(wanted.Description, role.Description)
		if wanted.Policies == nil {
			wanted.Policies = role.Policies
		}
	}
	changed, err := client.ACL().PutRole(ctx, wanted)
	if err != nil {
		return err
	}
	return c.show(changed, func(p *page) { roleFields(p, changed) })
}

// findRole finds a role by its ID or its name.
func findRole(ctx context.Context, client *api.Client, word string) (*nomadish.ACLRole, error) {
	role, _, err := client.ACL().Role(ctx, word, nil)
	if errors.Is(err, nomadish.ErrNotFound) {
		role, _, err = client.ACL().RoleByName(ctx, word, nil)
	}
	return role, missing(err, "role", word)
}

func aclRoleInfoCommand() command {
	return command{
		words: "acl role info", args: "ROLE", summary: "Show a role, by its ID or name",
		example: "  nomadish acl role info dev",
		reads:   true,
		run:     runACLRoleInfo,
	}
}

func runACLRoleInfo(ctx context.Context, c *call) error {
	c.readFlags()
	c.flags.Bool("by-name", false, "without effect: a role is found by both")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	role, err := findRole(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	return c.show(role, func(p *page) { roleFields(p, role) })
}

func aclRoleListCommand() command {
	return command{
		words: "acl role list", summary: "List roles: all, or with a token that is not management its own",
		example: "  nomadish acl role list",
		reads:   true,
		run:     runACLRoleList,
	}
}

func runACLRoleList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	roles, _, err := client.ACL().Roles(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(roles, func(p *page) {
		if len(roles) == 0 {
			p.line("No roles")
			return
		}
		rows := make([][]string, len(roles))
		for i, r := range roles {
			policies := policyLinks(r.Policies)
			rows[i] = []string{r.ID, r.Name, r.Description, policies.String()}
		}
		p.table([]string{"ID", "Name", "Description", "Policies"}, rows)
	})
}

func aclRoleDeleteCommand() command {
	return command{
		words: "acl role delete", args: "ID", summary: "Remove a role",
		help:    "  Tokens that have the role lose at once what it gave.",
		example: "  nomadish acl role delete 3e3a0e3c-61b0-4b8c-a9e4-42a1d3a3d1a5",
		run:     runACLRoleDelete,
	}
}

func runACLRoleDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ACL().DeleteRole(ctx, c.args[0]); err != nil {
		return missing(err, "role", c.args[0])
	}
	return c.print("Role %s is removed.\n", c.args[0])
}
