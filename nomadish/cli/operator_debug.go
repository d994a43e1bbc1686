package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func operatorDebugCommand() command {
	return command{
		words: "operator debug", summary: "Collect what helps to find out what is wrong, in one file",
		help: `  The file is a compressed tar archive: state, metrics over time, logs, events and profiles of
  the agent that is asked, and a README that says what is where. What jobs keep in their
  environment, templates, meta and driver options is left out, and so is all that is named
  like a secret; look through the file all the same before you give it away.`,
		example: "  nomadish operator debug -duration 30s -interval 10s",
		exits: `  0   the archive is complete
  1   there is no archive; standard error says why
  2   the archive is there, and parts are missing: errors.txt in it says which
  64  the command line is wrong`,
		run: runOperatorDebug,
	}
}

// debugFlags are the flags of operator debug.
type debugFlags struct {
	duration, interval time.Duration
	profile            time.Duration
	output             string
	topics             many
	logLevel           string
}

func runOperatorDebug(ctx context.Context, c *call) error {
	f := &debugFlags{duration: 2 * time.Minute, interval: 30 * time.Second, profile: time.Second, logLevel: "debug"}
	c.remoteFlags()
	c.flags.DurationVar(&f.duration, "duration", f.duration, "how long to collect logs, events and metrics")
	c.flags.DurationVar(&f.interval, "interval", f.interval, "time between two looks at metrics and state")
	c.flags.DurationVar(&f.profile, "pprof-duration", f.profile, "length of the profile of the CPU; 0: no profiles")
	c.flags.StringVar(&f.output, "output", "", "`directory` for the archive; default: the current one")
	c.flags.Var(&f.topics, "event-topic", "`topic` of events, or topic:ID; may be repeated; default: all; none: no events")
	c.flags.StringVar(&f.logLevel, "log-level", f.logLevel, "trace, debug, info, warn, error; none: no logs")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if f.duration < 0 || f.duration > time.Hour || f.interval < time.Second {
		return c.misused("-duration: want at most 1h; -interval: want at least 1s")
	}
	self, err := client.Agent().Self(ctx)
	if err != nil {
		return err
	}
	name := "nomadish-debug-" + c.Now().UTC().Format("20060102-150405Z")
	path := filepath.Join(f.output, name+".tar.gz")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	b := newBundle(file, name, c.Now)
	d := &debugCollector{call: c, client: client, flags: f, bundle: b, self: self}
	if err := c.print("Collecting for %s …\n", f.duration); err != nil {
		return errors.Join(err, file.Close())
	}
	d.collect(ctx)
	if err := errors.Join(b.close(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := c.print("%s: %s\n", path, plural(b.files, "file")); err != nil {
		return err
	}
	if missing := b.missing(); missing > 0 {
		return &exit{code: ExitPartial, err: fmt.Errorf("%s could not be collected; errors.txt in the archive says why", plural(missing, "part"))}
	}
	return nil
}

// events are the topics that are wanted; false: none.
func (f *debugFlags) events() (*nomadish.EventRequest, bool) {
	req := &nomadish.EventRequest{Namespace: "*"}
	for _, word := range f.topics {
		if word == "none" {
			return nil, false
		}
		req.Topics = append(req.Topics, eventTopic(word))
	}
	return req, true
}
