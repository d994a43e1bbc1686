package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish/discovery"
)

func discoverCommand() command {
	return command{
		words: "discover", args: "QUESTION", summary: "Look up servers at a cloud provider or by a program, as retry_join does",
		help: `  QUESTION is what stands in retry_join in place of an address: "provider=NAME KEY=VALUE..." or
  "exec=COMMAND". With - it is read from standard input, where others don't see the secrets in it.`,
		example: `  nomadish discover "provider=aws tag_key=role tag_value=nomad"
  nomadish discover "exec=/usr/local/bin/servers"`,
		reads: true, run: runDiscover,
	}
}

func runDiscover(ctx context.Context, c *call) error {
	c.outputFlags()
	if err := c.parse(1, 1); err != nil {
		return err
	}
	question := c.args[0]
	if question == "-" {
		text, err := c.readText("-")
		if err != nil {
			return err
		}
		question = strings.TrimSpace(string(text))
	}
	if !discovery.Is(question) {
		return c.misused("want \"provider=NAME KEY=VALUE...\" or \"exec=COMMAND\"")
	}
	f := c.finder()
	f.Ask = c.askHere
	found, err := f.Find(ctx, question)
	if err != nil {
		return err
	}
	return c.show(found, func(p *page) {
		for _, addr := range found {
			p.line("%s", addr)
		}
	})
}

// finder knows the providers of this program. An agent has a process of its own ask them: what their libraries
// need is gone with it, and one that hangs can be ended.
func (c *call) finder() *discovery.Finder {
	return &discovery.Finder{Providers: slices.Collect(maps.Keys(c.Providers)), Ask: askElsewhere}
}

func askElsewhere(ctx context.Context, question string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	found, err := discovery.Run(ctx, question, self, "discover", "-")
	var failed *discovery.Failed
	if errors.As(err, &failed) && failed.Said != "" { // with the name of the provider, which who asks adds
		said := strings.TrimPrefix(failed.Said, "Error: ")
		return nil, errors.New(strings.TrimPrefix(said, discovery.Name(question)+": "))
	}
	return found, err
}

// askHere asks a provider in this process, which ends soon: providers' libraries can't be interrupted.
func (c *call) askHere(ctx context.Context, question string) ([]string, error) {
	args, err := discovery.Parse(question)
	if err != nil {
		return nil, err
	}
	type answer struct {
		found []string
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() {
			if fault := recover(); fault != nil { // their code is not ours
				answered <- answer{err: fmt.Errorf("the provider's library fails: %v", fault)}
			}
		}()
		found, err := c.Providers[args["provider"]].Addrs(args, log.New(io.Discard, "", 0))
		answered <- answer{found, err}
	}()
	select {
	case a := <-answered:
		return a.found, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
