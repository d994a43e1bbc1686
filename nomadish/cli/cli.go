// Package cli is the command line: one file per command, all of them in the table below.
//
// Commands are written as Nomad's: words, then flags with one dash or two, then arguments.
// What a command prints for machines (-json) goes to standard output alone.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Exit codes. Commands that follow a job say in their help which of them they use.
const (
	ExitOK      = 0
	ExitFailed  = 1 // it did not work, or what was asked for did not come about
	ExitPartial = 2 // it was accepted and is not complete, such as a job that waits for room
	ExitUsage   = 64
)

// Program is what the main package knows and the command line does not.
type Program struct {
	Version string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Env     func(name string) (string, bool)
	// Drivers makes the task drivers of an agent, and what has to run beside them. Plugins
	// are the plugin blocks of its configuration, dev says that it is a throw-away agent.
	Drivers func(dataDir string, plugins []*agent.PluginFile, dev bool, logger *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error)
}

// command is one line of the table.
type command struct {
	words   string // by which it is called
	args    string // its arguments, for the usage line
	summary string
	help    string // more, for -help
	run     func(ctx context.Context, c *call) error
}

// commands is the table of all commands, in the order of the overview.
func commands() []command {
	return []command{
		agentCommand(),
		versionCommand(),
	}
}

// call is one run of a command.
type call struct {
	Program
	command command
	flags   *flag.FlagSet
	args    []string // what follows the command's words
}

// exit is an error that ends the program with a code.
type exit struct {
	code int
	err  error // nil: everything has been said
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// Run runs the command that args name and returns the program's exit code.
func Run(ctx context.Context, p Program, args []string) int {
	err := run(ctx, p, args)
	var e *exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		if e.err != nil {
			fmt.Fprintln(p.Stderr, printable("Error: "+e.err.Error()))
		}
		return e.code
	}
	fmt.Fprintln(p.Stderr, printable("Error: "+err.Error()))
	return ExitFailed
}

func run(ctx context.Context, p Program, args []string) error {
	if len(args) == 1 && slices.Contains([]string{"-version", "--version", "-v"}, args[0]) {
		args = []string{"version"}
	}
	cmd, rest, ok := find(args)
	if !ok {
		return overview(p, args)
	}
	c := &call{Program: p, command: cmd, args: rest, flags: flag.NewFlagSet("nomadish "+cmd.words, flag.ContinueOnError)}
	c.flags.SetOutput(p.Stderr)
	c.flags.Usage = c.usage
	return cmd.run(ctx, c)
}

// find returns the command with the most words that args begin with.
func find(args []string) (best command, rest []string, ok bool) {
	for _, cmd := range commands() {
		words := strings.Fields(cmd.words)
		if len(words) > len(args) || !slices.Equal(words, args[:len(words)]) {
			continue
		}
		if n := len(strings.Fields(best.words)); !ok || len(words) > n {
			best, rest, ok = cmd, args[len(words):], true
		}
	}
	return best, rest, ok
}

// parse reads flags and arguments, which may be mixed, and checks how many arguments there are.
func (c *call) parse(minArgs, maxArgs int) error {
	var args []string
	for rest := c.args; len(rest) > 0; {
		if err := c.flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return &exit{code: ExitOK}
			}
			return &exit{code: ExitUsage}
		}
		if rest = c.flags.Args(); len(rest) > 0 {
			args, rest = append(args, rest[0]), rest[1:]
		}
	}
	c.args = args
	if len(args) < minArgs || maxArgs >= 0 && len(args) > maxArgs {
		c.usage()
		return &exit{code: ExitUsage}
	}
	return nil
}

func (c *call) usage() {
	fmt.Fprintf(c.Stderr, "Usage: nomadish %s [flags] %s\n\n  %s\n", c.command.words, c.command.args, c.command.summary)
	if c.command.help != "" {
		fmt.Fprintf(c.Stderr, "\n%s\n", strings.TrimRight(c.command.help, "\n"))
	}
	flags := 0
	c.flags.VisitAll(func(*flag.Flag) { flags++ })
	if flags > 0 {
		fmt.Fprint(c.Stderr, "\nFlags:\n")
		c.flags.PrintDefaults()
	}
}

// overview lists the commands that begin with args, or says that there is none.
func overview(p Program, args []string) error {
	words, out, code := strings.Join(args, " "), p.Stderr, ExitUsage
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		words, out, code = "", p.Stdout, ExitOK
	}
	var lines []string
	for _, cmd := range commands() {
		if words == "" || strings.HasPrefix(cmd.words, words+" ") {
			lines = append(lines, fmt.Sprintf("  %-22s %s", cmd.words, cmd.summary))
		}
	}
	if len(lines) == 0 {
		return &exit{code: ExitUsage, err: fmt.Errorf("unknown command %q; nomadish -help lists the commands", args[0])}
	}
	fmt.Fprintf(out, "Usage: nomadish <command> [flags] [arguments]\n\n%s\n", strings.Join(lines, "\n"))
	return &exit{code: code}
}

// printable drops control characters, which could command the terminal, from what others wrote.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, s)
}
