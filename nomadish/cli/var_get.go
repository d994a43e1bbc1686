package cli

import (
	"context"
	"io"

	"github.com/nomadish/nomadish/nomadish"
)

func varGetCommand() command {
	return command{
		words: "var get", args: "VARIABLE", summary: "Print a variable",
		help: `  Without -out, people get a table and programs get JSON. What comes out as JSON or HCL
  can be changed and given to "var put", which refuses it if the variable has changed since.`,
		example: `  nomadish var get secret/db
  nomadish var get -item password secret/db | psql`,
		reads: true,
		run:   runVarGet,
	}
}

func runVarGet(ctx context.Context, c *call) error {
	c.remoteFlags()
	var o varOutput
	c.varOutputFlags(&o, variableFormats...)
	item := c.flags.String("item", "", "print the value of this `item` alone, as it is")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	format, err := c.format(&o, formatTable, formatJSON, variableFormats...)
	if err != nil {
		return err
	}
	v, _, err := client.Variables().Variable(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "variable", c.args[0])
	}
	if *item == "" {
		return c.showVariable(v, format)
	}
	value, ok := v.Items[*item]
	if !ok {
		near := nearest(*item, itemKeys(v.Items))
		if near != "" {
			near = ": did you mean " + near + "?"
		}
		return nomadish.Errorf(nomadish.KindNotFound, "variable %q has no item %q%s", v.Path, *item, near)
	}
	_, err = io.WriteString(c.content(), value)
	return err
}
