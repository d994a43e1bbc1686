package cli

import (
	"cmp"
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// ruleFlags adds the flags of what a binding rule has.
func (c *call) ruleFlags(b *nomadish.ACLBindingRule) {
	c.flags.StringVar(&b.Description, "description", "", "what the rule is for")
	c.flags.StringVar(&b.Selector, "selector", "", "`expression` over what the method's mappings took, such as '\"admins\" in list.groups'; default: everybody")
	c.flags.StringVar(&b.BindType, "bind-type", "", "what to give: role, policy or management")
	c.flags.StringVar(&b.BindName, "bind-name", "", "`name` of the role or policy; may hold ${value.NAME}")
}

func aclBindingRuleCreateCommand() command {
	return command{
		words: "acl binding-rule create", summary: "Make a rule of what people get who log in",
		example: `  nomadish acl binding-rule create -auth-method ci -bind-type role -bind-name dev -selector 'value.project == "web"'`,
		reads:   true,
		run:     runACLBindingRuleCreate,
	}
}

func runACLBindingRuleCreate(ctx context.Context, c *call) error {
	c.readFlags()
	rule := &nomadish.ACLBindingRule{}
	c.flags.StringVar(&rule.AuthMethod, "auth-method", "", "`name` of the auth method; required")
	c.ruleFlags(rule)
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if rule.AuthMethod == "" || rule.BindType == "" {
		return c.misused("-auth-method and -bind-type are required")
	}
	made, err := client.ACL().PutBindingRule(ctx, rule)
	if err != nil {
		return err
	}
	return c.show(made, func(p *page) { ruleFields(p, made) })
}

func aclBindingRuleUpdateCommand() command {
	return command{
		words: "acl binding-rule update", args: "ID", summary: "Change a binding rule",
		help:    "  What no flag says stays.",
		example: "  nomadish acl binding-rule update -bind-name ops 6fd1cd2a-9d58-4b4e-8d7f-0b3c3f4d7a61",
		reads:   true,
		run:     runACLBindingRuleUpdate,
	}
}

func runACLBindingRuleUpdate(ctx context.Context, c *call) error {
	c.readFlags()
	rule := &nomadish.ACLBindingRule{}
	c.ruleFlags(rule)
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	old, _, err := client.ACL().BindingRule(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "binding rule", c.args[0])
	}
	rule.ID, rule.AuthMethod = old.ID, old.AuthMethod
	rule.BindType = cmp.Or(rule.BindType, old.BindType)
	if rule.BindType != nomadish.ACLBindManagement {
		rule.BindName = cmp.Or(rule.BindName, old.BindName)
	}
	changed, err := client.ACL().PutBindingRule(ctx, rule)
	if err != nil {
		return err
	}
	return c.show(changed, func(p *page) { ruleFields(p, changed) })
}

func ruleFields(p *page, b *nomadish.ACLBindingRule) {
	p.fields([][2]string{
		{"ID", b.ID},
		{"Description", cmp.Or(b.Description, "<none>")},
		{"Auth Method", b.AuthMethod},
		{"Selector", cmp.Or(b.Selector, "<none>")},
		{"Bind Type", b.BindType},
		{"Bind Name", cmp.Or(b.BindName, "<none>")},
		{"Create Index", number(b.CreateIndex)},
		{"Modify Index", number(b.ModifyIndex)},
	}...)
}

func aclBindingRuleInfoCommand() command {
	return command{
		words: "acl binding-rule info", args: "ID", summary: "Show a binding rule",
		example: "  nomadish acl binding-rule info 6fd1cd2a-9d58-4b4e-8d7f-0b3c3f4d7a61",
		reads:   true,
		run:     runACLBindingRuleInfo,
	}
}

func runACLBindingRuleInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	rule, _, err := client.ACL().BindingRule(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "binding rule", c.args[0])
	}
	return c.show(rule, func(p *page) { ruleFields(p, rule) })
}

func aclBindingRuleListCommand() command {
	return command{
		words: "acl binding-rule list", summary: "List binding rules",
		example: "  nomadish acl binding-rule list",
		reads:   true,
		run:     runACLBindingRuleList,
	}
}

func runACLBindingRuleList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	rules, _, err := client.ACL().BindingRules(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(rules, func(p *page) {
		if len(rules) == 0 {
			p.line("No binding rules")
			return
		}
		rows := make([][]string, len(rules))
		for i, b := range rules {
			rows[i] = []string{b.ID, b.Description, b.AuthMethod}
		}
		p.table([]string{"ID", "Description", "Auth Method"}, rows)
	})
}

func aclBindingRuleDeleteCommand() command {
	return command{
		words: "acl binding-rule delete", args: "ID", summary: "Remove a binding rule",
		help:    "  Tokens of earlier logins keep what they have until they expire.",
		example: "  nomadish acl binding-rule delete 6fd1cd2a-9d58-4b4e-8d7f-0b3c3f4d7a61",
		run:     runACLBindingRuleDelete,
	}
}

func runACLBindingRuleDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ACL().DeleteBindingRule(ctx, c.args[0]); err != nil {
		return missing(err, "binding rule", c.args[0])
	}
	return c.print("Binding rule %s is removed.\n", c.args[0])
}
