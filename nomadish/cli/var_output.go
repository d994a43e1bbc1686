package cli

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nomadish/nomadish/nomadish"
)

// varOutput holds the flags of commands that show variables, by Nomad's names besides ours.
type varOutput struct{ out, template string }

// varOutputFlags adds them; formats are those that -out takes.
func (c *call) varOutputFlags(o *varOutput, formats ...string) {
	c.outputFlags()
	c.flags.StringVar(&o.out, "out", "", "`format` of the output: "+strings.Join(formats, ", "))
	c.flags.StringVar(&o.template, "template", "", "`template` of -out go-template")
}

// format decides on a format: what the flags ask for, or what suits who reads.
func (c *call) format(o *varOutput, person, program string, formats ...string) (string, error) {
	if o.template != "" {
		c.output.template = o.template
	}
	switch {
	case c.output.json && (c.output.template != "" || o.out != ""):
		return "", c.misused("-json excludes -out, -t and -template")
	case o.out == formatTemplate && c.output.template == "":
		return "", c.misused("-out go-template needs a -template")
	case o.out != "" && o.out != formatTemplate && c.output.template != "":
		return "", c.misused("-template excludes -out %s", o.out)
	case c.output.template != "":
		return formatTemplate, nil
	case c.output.json:
		return formatJSON, nil
	case o.out == "" && isTerminal(c.Stdout):
		return person, nil
	case o.out == "":
		return program, nil
	}
	for _, f := range formats {
		if f == o.out {
			return f, nil
		}
	}
	return "", c.misused("-out: %q is none of %s", o.out, strings.Join(formats, ", "))
}

// variableFormats are those of a whole variable.
var variableFormats = []string{formatTable, formatJSON, formatHCL, formatNone, formatTemplate}

// showVariable prints a variable in a format.
func (c *call) showVariable(v *nomadish.Variable, format string) error {
	switch format {
	case formatNone:
		return nil
	case formatHCL:
		return c.writeMachine(variableHCL(v))
	case formatJSON:
		c.output.json = true
	}
	return c.show(v, func(p *page) {
		p.fields([2]string{"Namespace", v.Namespace}, [2]string{"Path", v.Path},
			[2]string{"Create Time", c.when(v.CreateTime)}, [2]string{"Check Index", number(v.ModifyIndex)})
		if l := v.Lock; l != nil {
			p.title("Lock")
			p.fields([2]string{"ID", l.ID}, [2]string{"TTL", l.TTL}, [2]string{"Lock Delay", l.LockDelay}, [2]string{"Fence", number(l.Fence)})
		}
		p.title("Items")
		for _, key := range itemKeys(v.Items) {
			p.line("%s = %s", cell(key), oneLine(v.Items[key]))
		}
	})
}

// oneLine is a value as it is, or quoted where it would break its line.
func oneLine(value string) string {
	if strings.IndexFunc(value, unicode.IsControl) >= 0 {
		return fmt.Sprintf("%q", value)
	}
	return value
}
