package cli

import (
	"context"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

const permissionHelp = `  PERMISSION is a capability of namespaces, such as submit-job or read-logs, or one of another kind with that before
  it: node:write, agent:read, operator:read, quota:read, plugin:list, node_pool:read, host_volume:mount-readonly,
  variables:read, or management. -name is the node pool, host volume or path of a variable that it is about.`

func authCanICommand() command {
	return command{
		words: "auth can-i", args: "PERMISSION", summary: "Say whether the token at hand may do something",
		help:    permissionHelp,
		example: "  nomadish auth can-i submit-job -namespace web\n  nomadish auth can-i variables:read -name nomad/jobs/web",
		exits:   "  0   yes\n  1   no, or it could not be asked\n  64  the command line is wrong",
		reads:   true,
		run:     runAuthCanI,
	}
}

func runAuthCanI(ctx context.Context, c *call) error {
	c.readFlags()
	name := c.flags.String("name", "", "`name` of what the permission is about")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := client.ACL().CanI(ctx, c.args[0], *name, nil)
	if err != nil {
		return err
	}
	err = c.show(answer, func(p *page) {
		p.line("%s: %s", yesNo(answer.Allowed), answer.Reason)
	})
	if err == nil && !answer.Allowed {
		return &exit{code: ExitFailed}
	}
	return err
}

func authWhoCanCommand() command {
	return command{
		words: "auth who-can", args: "PERMISSION", summary: "Say which policies, roles and tokens allow something",
		help:    permissionHelp,
		example: "  nomadish auth who-can submit-job -namespace web",
		reads:   true,
		run:     runAuthWhoCan,
	}
}

func runAuthWhoCan(ctx context.Context, c *call) error {
	c.readFlags()
	name := c.flags.String("name", "", "`name` of what the permission is about")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	holders, err := client.ACL().WhoCan(ctx, c.args[0], *name, nil)
	if err != nil {
		return err
	}
	return c.show(holders, func(p *page) { holdersPage(p, holders) })
}

func holdersPage(p *page, h *nomadish.AccessHolders) {
	if h.Open {
		p.line("Everybody: there is no access control.")
		return
	}
	if h.Anonymous {
		p.line("Everybody, also without a token: the policy \"anonymous\" gives it.\n")
	}
	var rows [][]string
	for _, policy := range h.Policies {
		says := "gives it"
		if policy.Denies {
			says = "denies it"
		}
		rows = append(rows, []string{policy.Name, says})
	}
	section(p, "Policies", []string{"Name", "What it says"}, rows)
	rows = nil
	for _, role := range h.Roles {
		rows = append(rows, []string{role.Name, role.ID, strings.Join(role.Policies, ", ")})
	}
	section(p, "Roles", []string{"Name", "ID", "By policies"}, rows)
	rows = nil
	for _, t := range h.Tokens {
		rows = append(rows, []string{t.Name, t.AccessorID, t.Type, strings.Join(t.Policies, ", ")})
	}
	section(p, "Tokens", []string{"Name", "Accessor ID", "Type", "By policies"}, rows)
	rows = nil
	for _, w := range h.Workloads {
		rows = append(rows, []string{w.Policy, jobOf(w.JobACL)})
	}
	section(p, "Tasks", []string{"Policy", "Job"}, rows)
	if h.Truncated {
		p.line("There are more tokens than these.")
	}
}

// section is a table under a heading, or nothing.
func section(p *page, heading string, columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.line("%s", heading)
	p.table(columns, rows)
	p.line("")
}
