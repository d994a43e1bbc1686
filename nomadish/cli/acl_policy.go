package cli

import (
	"cmp"
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

func aclPolicyApplyCommand() command {
	return command{
		words: "acl policy apply", args: "NAME FILE", summary: "Store an access policy",
		help: `  FILE holds the rules, in HCL or JSON; - is standard input. With -job the tasks of that job have the policy
  without a token, by their workload identity: those of -group and -task alone, if these are given.`,
		example: "  nomadish acl policy apply -description 'reads jobs' readonly readonly.hcl",
		run:     runACLPolicyApply,
	}
}

func runACLPolicyApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	policy := &nomadish.ACLPolicy{}
	var of nomadish.JobACL
	c.flags.StringVar(&policy.Description, "description", "", "what the policy is for")
	c.flags.StringVar(&of.JobID, "job", "", "`job`, in -namespace, whose tasks have the policy")
	c.flags.StringVar(&of.Group, "group", "", "`group` of -job")
	c.flags.StringVar(&of.Task, "task", "", "`task` of -group")
	client, err := c.dial(2, 2)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case of.JobID == "" && of.Group != "":
		return c.misused("-group needs -job")
	case of.Group == "" && of.Task != "":
		return c.misused("-task needs -group")
	case of.JobID != "":
		cfg, err := c.apiConfig()
		if err != nil {
			return err
		}
		of.Namespace = cmp.Or(cfg.Namespace, nomadish.DefaultNamespace)
		policy.JobACL = &of
	}
	rules, err := c.readText(c.args[1])
	if err != nil {
		return err
	}
	policy.Name, policy.Rules = c.args[0], string(rules)
	if err := client.ACL().PutPolicy(ctx, policy); err != nil {
		return err
	}
	return c.print("Policy %q is stored.\n", policy.Name)
}

func aclPolicyListCommand() command {
	return command{
		words: "acl policy list", summary: "List access policies: all, or with a token that is not management its own",
		example: "  nomadish acl policy list",
		reads:   true,
		run:     runACLPolicyList,
	}
}

func runACLPolicyList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	policies, _, err := client.ACL().Policies(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(policies, func(p *page) { policyTable(p, policies) })
}

func policyTable(p *page, policies []*nomadish.ACLPolicyListStub) {
	if len(policies) == 0 {
		p.line("No policies")
		return
	}
	rows := make([][]string, len(policies))
	for i, s := range policies {
		rows[i] = []string{s.Name, s.Description, jobOf(s.JobACL)}
	}
	p.table([]string{"Name", "Description", "Job"}, rows)
}

// jobOf names the tasks that have a policy.
func jobOf(j *nomadish.JobACL) string {
	if j == nil {
		return ""
	}
	name := j.Namespace + "/" + j.JobID
	for _, part := range []string{j.Group, j.Task} {
		if part != "" {
			name += "/" + part
		}
	}
	return name
}

func aclPolicyInfoCommand() command {
	return command{
		words: "acl policy info", args: "NAME", summary: "Show an access policy",
		example: "  nomadish acl policy info readonly",
		reads:   true,
		run:     runACLPolicyInfo,
	}
}

func runACLPolicyInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	policy, _, err := client.ACL().Policy(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "policy", c.args[0])
	}
	return c.show(policy, func(p *page) {
		p.fields([][2]string{
			{"Name", policy.Name},
			{"Description", cmp.Or(policy.Description, "<none>")},
			{"Create Index", number(policy.CreateIndex)},
			{"Modify Index", number(policy.ModifyIndex)},
		}...)
		if j := policy.JobACL; j != nil {
			p.title("Associated Workload")
			p.fields([][2]string{{"Namespace", j.Namespace}, {"JobID", j.JobID}, {"Group", cmp.Or(j.Group, "<none>")}, {"Task", cmp.Or(j.Task, "<none>")}}...)
		}
		p.title("Rules")
		p.line("%s", policy.Rules)
	})
}

func aclPolicyDeleteCommand() command {
	return command{
		words: "acl policy delete", args: "NAME", summary: "Remove an access policy",
		help:    "  Tokens and roles that have the policy lose at once what it gave.",
		example: "  nomadish acl policy delete readonly",
		run:     runACLPolicyDelete,
	}
}

func runACLPolicyDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ACL().DeletePolicy(ctx, c.args[0]); err != nil {
		return missing(err, "policy", c.args[0])
	}
	return c.print("Policy %q is removed.\n", c.args[0])
}

func aclPolicySelfCommand() command {
	return command{
		words: "acl policy self", summary: "List the policies that one has oneself, by a token or as a task",
		example: "  nomadish acl policy self",
		reads:   true,
		run:     runACLPolicySelf,
	}
}

func runACLPolicySelf(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	policies, _, err := client.ACL().OwnPolicies(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(policies, func(p *page) { policyTable(p, policies) })
}
