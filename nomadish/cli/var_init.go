package cli

import (
	"context"
)

const varExampleHCL = `# Where the variable is. "var put" may say so instead.
# path      = "secret/example"
# namespace = "default"

# To write only if the variable has not changed since: its check index, as "var get" shows it.
# modify_index = 42

# All items of the variable: what is not here is not in it afterwards.
items {
  user     = "app"
  password = "change me"
}
`

const varExampleJSON = `{
  "Path": "secret/example",
  "Namespace": "default",
  "Items": {
    "user": "app",
    "password": "change me"
  }
}
`

func varInitCommand() command {
	return command{
		words: "var init", args: "[FILE]", summary: "Write an example of a variable's specification",
		help:    "  FILE is by default spec.nv.hcl, or spec.nv.json. A file that is there already is left alone.",
		example: "  nomadish var init && nomadish var put secret/example @spec.nv.hcl",
		run:     runVarInit,
	}
}

func runVarInit(_ context.Context, c *call) error {
	out := c.flags.String("out", formatHCL, "`format` of the specification: hcl or json")
	if err := c.parse(0, 1); err != nil {
		return err
	}
	texts := map[string]string{formatHCL: varExampleHCL, formatJSON: varExampleJSON}
	text, ok := texts[*out]
	if !ok {
		return c.misused("-out: %q is neither hcl nor json", *out)
	}
	name := "spec.nv." + *out
	if len(c.args) == 1 {
		name = c.args[0]
	}
	if err := writeNew(name, text, 0o600); err != nil { // it will hold secrets
		return err
	}
	return c.print("Wrote %s; store it with: nomadish var put secret/example @%s\n", name, name)
}
