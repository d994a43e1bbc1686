package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func varPutCommand() command {
	return command{
		words: "var put", args: "VARIABLE|-|@FILE [-|@FILE] [KEY=VALUE]...", summary: "Create or update a variable",
		help: `  The items come from a specification, which "var init" shows, from KEY=VALUE, or from both,
  where KEY=VALUE has the last word. A value that is @FILE is what the file holds, and - is
  standard input; \@ and \- are an @ and a dash. Better give secrets by file or standard
  input: command lines can be seen by others.

  All items are replaced. So that no other write is lost, a variable is only written if it
  has not changed: since the modify index of the specification, since -check-index, or, without
  either, if it does not exist yet. -force writes it whatever is there.`,
		example: `  nomadish var put secret/db user=app password=@pw.txt
  nomadish var get secret/db | nomadish var put - user=admin`,
		reads: true,
		run:   runVarPut,
	}
}

func runVarPut(ctx context.Context, c *call) error {
	c.remoteFlags()
	var o varOutput
	c.varOutputFlags(&o, variableFormats...)
	in := c.flags.String("in", "", "`format` of a specification whose name does not tell: json, the default, or hcl")
	check := c.flags.Int64("check-index", -1, "write only if this is the variable's modify `index`; 0: if it does not exist")
	force := c.flags.Bool("force", false, "write it whatever is there")
	client, err := c.dial(1, -1)
	if err != nil {
		return err
	}
	defer client.Close()
	format, err := c.format(&o, formatNone, formatJSON, variableFormats...)
	if err != nil {
		return err
	}
	v, err := c.variableArgs(&varSpec{c: c, format: *in}, c.args)
	if err != nil {
		return err
	}
	index := &v.ModifyIndex
	switch {
	case *force && *check >= 0:
		return c.misused("-force and -check-index exclude each other")
	case *force:
		index = nil
	case *check >= 0:
		index = nomadish.Ptr(uint64(*check))
	}
	stored, err := client.Variables().Set(ctx, v, index)
	if err != nil {
		return refusedWrite(err, index)
	}
	if format == formatNone {
		return c.print("Variable %q is stored; its check index is %d.\n", stored.Path, stored.ModifyIndex)
	}
	return c.showVariable(stored, format)
}

// variableArgs makes a variable of arguments: a path, a specification or both, and items.
func (c *call) variableArgs(spec *varSpec, args []string) (*nomadish.Variable, error) {
	v, path := &nomadish.Variable{}, ""
	if !isSpec(args[0]) {
		path, args = args[0], args[1:]
	}
	if len(args) > 0 && isSpec(args[0]) {
		read, err := spec.variable(args[0])
		if err != nil {
			return nil, err
		}
		v, args = read, args[1:]
	}
	if path != "" && path != v.Path {
		v.Path, v.ModifyIndex = path, 0 // what is known of another variable says nothing of this one
	}
	if v.Path == "" {
		return nil, c.misused("the specification names no path, and none is given")
	}
	if c.remote.namespace != "" {
		v.Namespace = c.remote.namespace
	}
	if err := spec.items(v, args); err != nil {
		return nil, err
	}
	return v, nomadish.CheckVariablePath(strings.Trim(v.Path, "/"))
}

// refusedWrite says what to do about a variable that has changed.
func refusedWrite(err error, check *uint64) error {
	var conflict *nomadish.VariableConflict
	if !errors.As(err, &conflict) {
		return err
	}
	now := conflict.Current
	switch {
	case now.Lock != nil:
		return fmt.Errorf("variable %q is locked: only who holds the lock can change it. The lock ends when its holder releases it or has not renewed it for %s", now.Path, now.Lock.TTL)
	case check == nil:
		return err
	case now.ModifyIndex == 0:
		return fmt.Errorf("variable %q does not exist, and was to be at index %d: create it with -check-index 0", now.Path, *check)
	case *check == 0:
		return fmt.Errorf("variable %q exists already, at index %d: replace it with -check-index %d, or whatever it is with -force", now.Path, now.ModifyIndex, now.ModifyIndex)
	}
	return fmt.Errorf("variable %q has changed: it is at index %d and not at %d. Look at it with \"nomadish var get\", then write with -check-index %d, or whatever it is with -force", now.Path, now.ModifyIndex, *check, now.ModifyIndex)
}
