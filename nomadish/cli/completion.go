package cli

import (
	"context"
	_ "embed"
	"flag"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish/api"
)

// The scripts for shells: each asks the hidden command __complete for the words that fit.
var (
	//go:embed completion.bash
	completionBash string
	//go:embed completion.zsh
	completionZsh string
	//go:embed completion.fish
	completionFish string
)

func completionCommand() command {
	return command{
		words: "completion", args: "bash|zsh|fish", summary: "Print the script by which a shell completes commands, flags and names",
		help: `  Names of jobs, allocations, nodes and namespaces are asked of the server, for which a second
  is allowed.`,
		example: `  source <(nomadish completion bash)
  nomadish completion zsh > "${fpath[1]}/_nomadish"
  nomadish completion fish > ~/.config/fish/completions/nomadish.fish`,
		run: runCompletion,
	}
}

func runCompletion(_ context.Context, c *call) error {
	if err := c.parse(1, 1); err != nil {
		return err
	}
	scripts := map[string]string{"bash": completionBash, "zsh": completionZsh, "fish": completionFish}
	script, ok := scripts[c.args[0]]
	if !ok {
		return c.misused("%q is none of bash, zsh, fish", c.args[0])
	}
	return write(c.Stdout, script)
}

func completeCommand() command {
	return command{
		words: "__complete", args: "WORD...", summary: "List what may stand in place of the last word of a command line, a line each",
		example: `  nomadish __complete job status ""`,
		hidden:  true, run: runComplete,
	}
}

// completeTimeout bounds how long a person waits for names.
const completeTimeout = time.Second

// maxCompleted bounds how many names are offered.
const maxCompleted = 200

func runComplete(ctx context.Context, c *call) error {
	if c.probe {
		return errProbed
	}
	words := c.args // as they are: flags of the other command line too
	if len(words) == 1 && isHelp(words[0]) {
		return c.parse(0, 0)
	}
	if len(words) == 0 {
		words = []string{""}
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var lines []string
	for _, s := range c.complete(ctx, words[:len(words)-1], words[len(words)-1]) {
		if lines = append(lines, printable(s)+"\n"); len(lines) == maxCompleted {
			break
		}
	}
	return write(c.Stdout, strings.Join(lines, ""))
}

// fileHint is what a shell gets in place of names where files are meant.
const fileHint = ":files"

// complete lists what may stand in place of word, behind the words before.
func (c *call) complete(ctx context.Context, before []string, word string) []string {
	cmd, rest, ok := find(before)
	if !ok {
		return nextWords(before, word)
	}
	flags, err := flagsOf(cmd)
	if err != nil {
		return nil
	}
	line := readLine(flags, rest)
	switch {
	case line.value != nil:
		return fitting(c.values(ctx, line, flagKind(line.value)), word)
	case strings.HasPrefix(word, "-") && !line.over:
		name, _, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if f := flags.Lookup(name); given && f != nil {
			head := word[:strings.IndexByte(word, '=')+1]
			var out []string
			for _, v := range fitting(c.values(ctx, line, flagKind(f)), strings.TrimPrefix(word, head)) {
				out = append(out, head+v)
			}
			return out
		}
		return flagNames(flags, word)
	}
	return fitting(c.values(ctx, line, argumentKind(cmd.args, line.args)), word)
}

// nextWords lists the words that commands go on with.
func nextWords(before []string, word string) (out []string) {
	for _, cmd := range commands() {
		words := strings.Fields(cmd.words)
		if !cmd.hidden && len(words) > len(before) && slices.Equal(words[:len(before)], before) && strings.HasPrefix(words[len(before)], word) {
			out = append(out, words[len(before)])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// typedLine is what was typed behind a command's words.
type typedLine struct {
	args  int               // arguments so far
	value *flag.Flag        // the flag whose value comes next
	over  bool              // no flag can follow
	set   map[string]string // values of flags
}

func readLine(flags *flag.FlagSet, words []string) typedLine {
	line := typedLine{set: map[string]string{}}
	for _, w := range words {
		switch {
		case line.value != nil:
			line.set[line.value.Name], line.value = w, nil
		case line.over || w == "-" || !strings.HasPrefix(w, "-"):
			line.args++
		case w == "--":
			line.over = true
		default:
			name, value, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
			f := flags.Lookup(name)
			if f == nil {
				continue
			}
			if b, ok := f.Value.(interface{ IsBoolFlag() bool }); given || ok && b.IsBoolFlag() {
				line.set[name] = value
				continue
			}
			line.value = f
		}
	}
	return line
}

func flagNames(flags *flag.FlagSet, word string) (out []string) {
	dashes := word[:len(word)-len(strings.TrimLeft(word, "-"))]
	flags.VisitAll(func(f *flag.Flag) { out = append(out, dashes+f.Name) })
	return fitting(out, word)
}

// flagKind is what a flag's value names: the word that its help marks, or its own name.
func flagKind(f *flag.Flag) string {
	switch name, _ := flag.UnquoteUsage(f); {
	case f.Name == "namespace":
		return "NAMESPACE"
	case f.Name == "node":
		return "NODE"
	case f.Name == "driver":
		return "DRIVER"
	case name == "file" || name == "directory" || name == "path":
		return "FILE"
	}
	return ""
}

// argumentKind is what the argument at a place names, from the usage line: the last word goes on
// if it ends with dots.
func argumentKind(usage string, place int) string {
	words := strings.Fields(usage)
	if len(words) == 0 {
		return ""
	}
	if strings.Contains(usage, " or ") || strings.Contains(usage, " | ") {
		place = 0
	} else if place >= len(words) {
		if !strings.Contains(words[len(words)-1], "...") {
			return ""
		}
		place = len(words) - 1
	}
	kind := strings.Trim(words[place], "[]. ")
	if strings.HasPrefix(words[place], "[JOB:]PATH") {
		return "JOBPATH"
	}
	return kind
}

// values lists the names of a kind.
func (c *call) values(ctx context.Context, line typedLine, kind string) []string {
	switch kind {
	case "FILE", "FILE,", "PATH", "DIRECTORY", "JOBPATH":
		return []string{fileHint}
	case "IMAGE":
		return nil
	case "bash|zsh|fish":
		return []string{"bash", "zsh", "fish"}
	case "DRIVER":
		if c.Schemas == nil {
			return nil
		}
		var out []string
		for name := range c.Schemas() {
			out = append(out, name)
		}
		return out
	}
	for name, field := range map[string]*string{"address": &c.remote.address, "region": &c.remote.region, "namespace": &c.remote.namespace, "token": &c.remote.token} {
		*field = line.set[name]
	}
	client, err := c.connect()
	if err != nil {
		return nil
	}
	defer client.Close()
	return liveNames(ctx, client, kind)
}

// liveNames asks the server for the names of a kind. Who can't be told gets none.
func liveNames(ctx context.Context, client *api.Client, kind string) (out []string) {
	switch kind {
	case "JOB", "NAME":
		jobs, _, _ := client.Jobs().List(ctx, nil)
		for _, j := range jobs {
			out = append(out, j.ID)
		}
	case "ALLOCATION":
		allocs, _, _ := client.Allocations().List(ctx, nil)
		for _, a := range slices.Backward(allocs) {
			if !ended(a) {
				out = append(out, a.Name)
			}
			out = append(out, a.ID)
		}
	case "NODE":
		nodes, _, _ := client.Nodes().List(ctx, nil)
		for _, n := range nodes {
			out = append(out, n.Name)
		}
	case "EVALUATION":
		evals, _, _ := client.Evaluations().List(ctx, nil)
		for _, e := range slices.Backward(evals) {
			out = append(out, e.ID)
		}
	case "VARIABLE", "VARIABLE|-|@FILE", "VARIABLE|@FILE":
		all, _, _ := client.Variables().List(ctx, nil)
		for _, v := range all {
			out = append(out, v.Path)
		}
	case "NAMESPACE":
		spaces, _, _ := client.Namespaces().List(ctx, nil)
		for _, n := range spaces {
			out = append(out, n.Name)
		}
	}
	return out
}

// fitting keeps what begins with word; where files are meant, the shell knows.
func fitting(all []string, word string) []string {
	if slices.Equal(all, []string{fileHint}) {
		return all
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, word) })
	if word == "" { // IDs help nobody who has not begun one
		all = slices.DeleteFunc(all, func(s string) bool { return len(s) == idLength && isIDPrefix(s) })
	}
	return all
}
