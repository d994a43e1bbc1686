package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"

	"github.com/nomadish/nomadish/nomadish/api"
)

// ready makes the set of flags, which the command fills and parse reads.
func (c *call) ready() *call {
	c.flags = flag.NewFlagSet("nomadish "+c.command.words, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard) // parse says what is wrong
	c.flags.Usage = func() {}
	return c
}

// errProbed ends the run of a command of which only the flags are wanted.
var errProbed = errors.New("the flags are known")

// flagsOf returns a command's flags: each command registers them before it parses.
func flagsOf(cmd command) (*flag.FlagSet, error) {
	c := (&call{command: cmd, probe: true}).ready()
	if err := cmd.run(context.Background(), c); !errors.Is(err, errProbed) {
		return nil, fmt.Errorf("command %q does something before it parses its flags: %w", cmd.words, err)
	}
	return c.flags, nil
}

// parse reads flags and arguments, which may be mixed, and checks how many arguments there are.
// What follows "--" are arguments.
func (c *call) parse(minArgs, maxArgs int) error {
	return c.parseUntil(-1, minArgs, maxArgs)
}

// parseUntil is parse for a command line that ends in another one: after so many arguments, what
// follows the next one is not looked at for flags any more.
func (c *call) parseUntil(own, minArgs, maxArgs int) error {
	if c.probe {
		return errProbed
	}
	var args []string
	for rest := c.args; len(rest) > 0; {
		before := rest
		if err := c.flags.Parse(rest); err != nil {
			return c.misflagged(err)
		}
		rest = c.flags.Args()
		if read := len(before) - len(rest); read > 0 && before[read-1] == "--" || own >= 0 && len(args) == own {
			args = append(args, rest...)
			break
		}
		if len(rest) > 0 {
			args, rest = append(args, rest[0]), rest[1:]
		}
	}
	c.args = args
	if len(args) < minArgs || maxArgs >= 0 && len(args) > maxArgs {
		return c.misused("nomadish %s takes %s, got %d", c.command.words, counted(minArgs, maxArgs), len(args))
	}
	return nil
}

var unknownFlag = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)

// misflagged says what is wrong with a flag, or shows the help that a flag asks for.
func (c *call) misflagged(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		c.usage(c.Stdout)
		return &exit{code: ExitOK}
	}
	if m := unknownFlag.FindStringSubmatch(err.Error()); m != nil {
		var names []string
		c.flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		near := nearest(m[1], names)
		if near != "" {
			near = fmt.Sprintf(": did you mean -%s?", near)
		}
		err = fmt.Errorf("nomadish %s has no flag -%s%s", c.command.words, m[1], near)
	}
	return &exit{code: ExitUsage, err: fmt.Errorf("%w\n\"nomadish %s -help\" lists the flags", err, c.command.words)}
}

// dial parses the command line and makes a client: how commands that talk to a server begin.
func (c *call) dial(minArgs, maxArgs int) (*api.Client, error) {
	if err := c.parse(minArgs, maxArgs); err != nil {
		return nil, err
	}
	return c.connect()
}

// readFlags adds the flags of commands that show what a server says.
func (c *call) readFlags() {
	c.remoteFlags()
	c.outputFlags()
}

// counted says how many arguments a command takes.
func counted(least, most int) string {
	switch {
	case most == 0:
		return "no arguments"
	case most < 0:
		return fmt.Sprintf("at least %s", plural(least, "argument"))
	case least == most:
		return plural(least, "argument")
	}
	return fmt.Sprintf("%d to %s", least, plural(most, "argument"))
}

// misused is the error for a command line that is wrong.
func (c *call) misused(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &exit{code: ExitUsage, err: fmt.Errorf("%w\nUsage: nomadish %s [flags] %s", err, c.command.words, c.command.args)}
}
