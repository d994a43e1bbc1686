package cli

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// usage prints a command's help.
func (c *call) usage(w io.Writer) {
	fmt.Fprintf(w, "Usage: nomadish %s [flags] %s\n\n  %s.\n", c.command.words, c.command.args, c.command.summary)
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(w, "\n%s%s\n", title, strings.TrimRight(text, "\n"))
		}
	}
	section("", c.command.help)
	section("Example:\n", c.command.example)
	flags := 0
	c.flags.VisitAll(func(*flag.Flag) { flags++ })
	if flags > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		c.flags.SetOutput(w)
		c.flags.PrintDefaults()
	}
	section("Exit codes:\n", c.command.exitCodes())
}

// exitCodes says how the command can end.
func (c command) exitCodes() string {
	if c.exits == "" {
		return usualExits
	}
	return c.exits
}

// overview lists the commands that begin with args, or says that there is none.
func overview(p Program, args []string) error {
	words, out, code := strings.Join(args, " "), p.Stderr, ExitUsage
	if len(args) > 0 && isHelp(args[len(args)-1]) {
		words, out, code = strings.Join(args[:len(args)-1], " "), p.Stdout, ExitOK
	}
	if len(args) == 0 {
		out, code = p.Stdout, ExitOK
	}
	var rows, names []string
	width := 0
	for _, cmd := range commands() {
		if !cmd.hidden {
			width = max(width, len(cmd.words))
		}
	}
	for _, cmd := range commands() {
		if cmd.hidden {
			continue
		}
		names = append(names, cmd.words)
		if words == "" || strings.HasPrefix(cmd.words, words+" ") {
			rows = append(rows, fmt.Sprintf("  %-*s  %s", width, cmd.words, cmd.summary))
		}
	}
	if len(rows) == 0 {
		return &exit{code: ExitUsage, err: fmt.Errorf("unknown command %q%s\n\"nomadish -help\" lists all", words, suggestCommand(args, names))}
	}
	fmt.Fprintf(out, "Usage: nomadish <command> [flags] [arguments]\n\n%s\n\n\"nomadish <command> -help\" tells more of each.\n", strings.Join(rows, "\n"))
	return &exit{code: code}
}

// suggestCommand finds the command that the first words of a command line are nearest to: the
// words that follow are flags and arguments.
func suggestCommand(args, names []string) string {
	var words []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") || len(words) == 3 {
			break
		}
		words = append(words, arg)
	}
	for n := len(words); n > 0; n-- {
		if s := didYouMean(strings.Join(words[:n], " "), names); s != "" {
			return s
		}
	}
	return ""
}

func isHelp(arg string) bool {
	return slices.Contains([]string{"-h", "--h", "-help", "--help", "help"}, arg)
}
