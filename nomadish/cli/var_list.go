package cli

import (
	"context"
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// listFormats are those of a list of variables.
var listFormats = []string{formatTable, formatJSON, formatTerse, formatTemplate}

func varListCommand() command {
	return command{
		words: "var list", args: "[VARIABLE]", summary: "List variables, without their items",
		help: `  Only variables are listed whose path begins with the argument. A page's token for the next
  one goes to standard error.`,
		example: "  nomadish var list nomad/jobs\n  nomadish var list -namespace '*' -out terse",
		reads:   true,
		run:     runVarList,
	}
}

func runVarList(ctx context.Context, c *call) error {
	c.remoteFlags()
	var o varOutput
	c.varOutputFlags(&o, listFormats...)
	q := &api.Query{}
	c.flags.IntVar(&q.PerPage, "per-page", 0, "list at most this many; default: all")
	c.flags.StringVar(&q.NextToken, "page-token", "", "where the page begins: the `token` that the one before ended with")
	c.flags.StringVar(&q.Filter, "filter", "", "list what fits an `expression`, such as 'Path contains \"db\"'")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	format, err := c.format(&o, formatTable, formatJSON, listFormats...)
	if err != nil {
		return err
	}
	if len(c.args) == 1 {
		q.Prefix = c.args[0]
	}
	all, meta, err := client.Variables().List(ctx, q)
	if err != nil {
		return err
	}
	if meta.NextToken != "" {
		defer fmt.Fprintf(c.Stderr, "Next page token: %s\n", printable(meta.NextToken))
	}
	c.output.json = format == formatJSON
	return c.show(all, func(p *page) { c.variableTable(p, all, format == formatTerse) })
}

func (c *call) variableTable(p *page, all []*nomadish.VariableMetadata, terse bool) {
	if terse {
		for _, v := range all {
			p.line("%s", v.Path)
		}
		return
	}
	if len(all) == 0 {
		p.line("No variables.")
		return
	}
	rows := make([][]string, len(all))
	for i, v := range all {
		locked := ""
		if v.Lock != nil {
			locked = "yes"
		}
		rows[i] = []string{v.Namespace, v.Path, c.when(v.ModifyTime), locked}
	}
	p.table([]string{"Namespace", "Path", "Last Updated", "Locked"}, rows)
}
