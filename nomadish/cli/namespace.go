package cli

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/nomadish/nomadish/jobspec/hcl1"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func namespaceApplyCommand() command {
	return command{
		words: "namespace apply", args: "FILE or NAME", summary: "Store a namespace",
		help: `  With a file, or - for standard input, the namespace is as that says, in HCL, or with -json in JSON. With a name it is made,
  or what the flags say of it is changed.`,
		example: "  nomadish namespace apply -description 'for the shop' shop",
		run:     runNamespaceApply,
	}
}

func runNamespaceApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	asJSON := c.flags.Bool("json", false, "the file is JSON, in the shape of the API")
	description := c.flags.String("description", "", "what the namespace is for")
	quota := c.flags.String("quota", "", "`name` of the quota of what its jobs may use")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	var ns *nomadish.Namespace
	if c.args[0] == "-" || isFile(c.args[0]) {
		ns = &nomadish.Namespace{}
		err = c.readSpec(c.args[0], *asJSON, ns)
	} else {
		ns, err = namedNamespace(ctx, client, c.args[0])
	}
	if err != nil {
		return err
	}
	ns.Description = cmp.Or(*description, ns.Description)
	ns.Quota = cmp.Or(*quota, ns.Quota)
	if err := client.Namespaces().Put(ctx, ns); err != nil {
		return err
	}
	return c.print("Namespace %q is stored.\n", ns.Name)
}

// namedNamespace is the namespace with a name, or a new one.
func namedNamespace(ctx context.Context, client *api.Client, name string) (*nomadish.Namespace, error) {
	ns, _, err := client.Namespaces().Namespace(ctx, name, nil)
	if errors.Is(err, nomadish.ErrNotFound) {
		return &nomadish.Namespace{Name: name}, nil
	}
	return ns, err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// readSpec reads what a file, or standard input, says of a thing: in HCL, or in JSON.
func (c *call) readSpec(path string, asJSON bool, into any) error {
	text, err := c.readText(path)
	if err != nil {
		return err
	}
	if asJSON || filepath.Ext(path) == ".json" {
		return nomadish.DecodeJSON(text, into)
	}
	body, err := hcl1.Parse(path, text)
	if err != nil {
		return err
	}
	if diags := gohcl.DecodeBody(body, nil, into); diags.HasErrors() {
		return diags
	}
	return nil
}

func namespaceListCommand() command {
	return command{
		words: "namespace list", summary: "List the namespaces that one may see",
		example: "  nomadish namespace list",
		reads:   true,
		run:     runNamespaceList,
	}
}

func runNamespaceList(ctx context.Context, c *call) error {
	c.readFlags()
	filter := c.flags.String("filter", "", "list those alone for which this `expression` over the fields of the JSON holds")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	all, _, err := client.Namespaces().List(ctx, &api.Query{Filter: *filter})
	if err != nil {
		return err
	}
	return c.show(all, func(p *page) {
		if len(all) == 0 {
			p.line("No namespaces")
			return
		}
		rows := make([][]string, len(all))
		for i, ns := range all {
			rows[i] = []string{ns.Name, ns.Description}
		}
		p.table([]string{"Name", "Description"}, rows)
	})
}

func namespaceStatusCommand() command {
	return command{
		words: "namespace status", args: "NAMESPACE", summary: "Show a namespace: its quota, and what its jobs may use",
		example: "  nomadish namespace status shop",
		reads:   true,
		run:     runNamespaceStatus,
	}
}

func runNamespaceStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	ns, _, err := client.Namespaces().Namespace(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "namespace", c.args[0])
	}
	var quota *nomadish.QuotaSpec
	var used *nomadish.QuotaUsage
	if ns.Quota != "" && !c.machine() {
		if quota, _, err = client.Quotas().Quota(ctx, ns.Quota, nil); err != nil {
			return err
		}
		if used, _, err = client.Quotas().Usage(ctx, ns.Quota, nil); err != nil {
			return err
		}
	}
	return c.show(ns, func(p *page) {
		namespaceFields(p, ns)
		if quota != nil {
			p.title("Quota Limits")
			quotaTable(p, quota, used)
		}
	})
}

func namespaceFields(p *page, ns *nomadish.Namespace) {
	rows := [][2]string{
		{"Name", ns.Name},
		{"Description", cmp.Or(ns.Description, "<none>")},
		{"Quota", cmp.Or(ns.Quota, "<none>")},
	}
	if n := ns.Capabilities; n != nil {
		rows = append(rows, [][2]string{
			{"Enabled Drivers", allOr(n.EnabledTaskDrivers)},
			{"Disabled Drivers", orNone(n.DisabledTaskDrivers)},
			{"Enabled Network Modes", allOr(n.EnabledNetworkModes)},
			{"Disabled Network Modes", orNone(n.DisabledNetworkModes)},
		}...)
	}
	p.fields(rows...)
	if n := ns.NodePoolConfiguration; n != nil {
		p.title("Node Pools")
		p.fields([][2]string{{"Default", ns.DefaultNodePool()}, {"Allowed", list(n.Allowed)}, {"Denied", list(n.Denied)}}...)
	}
	pairs(p, "Metadata", ns.Meta)
	pairs(p, "Required Extra Claims of Identities", ns.RequiredExtraClaims)
	pairs(p, "Optional Extra Claims of Identities", ns.OptionalExtraClaims)
}

// pairs shows a section of names and values, if there are any.
func pairs(p *page, title string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	p.title("%s", title)
	var rows [][2]string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		rows = append(rows, [2]string{key, values[key]})
	}
	p.fields(rows...)
}

// allOr writes names for people, where none stands for all.
func allOr(words []string) string { return cmp.Or(list(words), "*") }

func namespaceInspectCommand() command {
	return command{
		words: "namespace inspect", args: "NAMESPACE", summary: "Show all of a namespace, as JSON",
		example: "  nomadish namespace inspect shop",
		reads:   true,
		run:     runNamespaceInspect,
	}
}

func runNamespaceInspect(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	ns, _, err := client.Namespaces().Namespace(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "namespace", c.args[0])
	}
	c.output.json = c.output.template == ""
	return c.show(ns, nil)
}

func namespaceDeleteCommand() command {
	return command{
		words: "namespace delete", args: "NAMESPACE", summary: "Remove a namespace in which nothing lives",
		help:    "  Jobs have to be stopped, and variables removed, before.",
		example: "  nomadish namespace delete shop",
		run:     runNamespaceDelete,
	}
}

func runNamespaceDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Namespaces().Delete(ctx, c.args[0]); err != nil {
		return missing(err, "namespace", c.args[0])
	}
	return c.print("Namespace %q is removed.\n", c.args[0])
}
