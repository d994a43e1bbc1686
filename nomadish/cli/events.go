package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func eventsCommand() command {
	return command{
		words: "events", summary: "Tell what changes in the cluster, and why",
		help: `  Without -f it tells what the server still knows of the recent past, and ends.
  Jobs, allocations and nodes are named; -verbose adds whole IDs and what the scheduler does.
  With -json each line is what one command changed, as the API has it; -t is filled with each.`,
		example: "  nomadish events -f -job web\n  nomadish events -f -topic Node -topic Allocation:5f2c12ab-… -json",
		reads:   true,
		run:     runEvents,
	}
}

// eventsFlags are the flags of events.
type eventsFlags struct {
	follow bool
	topics many
	job    string
	index  uint64
}

func runEvents(ctx context.Context, c *call) error {
	f := &eventsFlags{}
	c.readFlags()
	c.flags.BoolVar(&f.follow, "f", false, "go on with what happens next, until interrupted")
	c.flags.Var(&f.topics, "topic", "`topic` (Job, Allocation, Evaluation, Deployment, Node, NodePool), or topic:ID; may be repeated")
	c.flags.StringVar(&f.job, "job", "", "only what concerns the job with this `ID`")
	c.flags.Uint64Var(&f.index, "index", 0, "begin at this index; default: a short while ago")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	req, err := f.request(c)
	if err != nil {
		return err
	}
	if c.output.json && c.output.template == "" {
		return c.eventLines(ctx, client, req)
	}
	t := newTeller(c)
	for events, err := range client.Events().Stream(ctx, req) {
		if err != nil {
			return err
		}
		if c.machine() {
			if err := c.show(events, nil); err != nil {
				return err
			}
			continue
		}
		for _, line := range t.tell(events) {
			if err := c.print("%s\n", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// request says which events are wanted: in all namespaces, unless one is named.
func (f *eventsFlags) request(c *call) (*nomadish.EventRequest, error) {
	q, err := c.anyNamespace()
	if err != nil {
		return nil, err
	}
	req := &nomadish.EventRequest{Namespace: q.Namespace, Index: f.index, Once: !f.follow}
	if f.job != "" && len(f.topics) == 0 {
		f.topics = many{nomadish.TopicJob, nomadish.TopicAllocation, nomadish.TopicEvaluation, nomadish.TopicDeployment}
	}
	for _, word := range f.topics {
		t := eventTopic(word)
		if t.Topic == "" || t.Key != "" && f.job != "" {
			return nil, c.misused("-topic %q: want a topic, or without -job topic:ID", word)
		}
		if f.job != "" {
			t.Key = f.job
		}
		req.Topics = append(req.Topics, t)
	}
	return req, nil
}

// eventTopic reads topic or topic:ID.
func eventTopic(word string) nomadish.EventTopic {
	topic, key, _ := strings.Cut(word, ":")
	return nomadish.EventTopic{Topic: topic, Key: key}
}

// eventLines prints events as they come, without heartbeats.
func (c *call) eventLines(ctx context.Context, client *api.Client, req *nomadish.EventRequest) error {
	for line, err := range client.Events().Lines(ctx, req) {
		if err != nil {
			return err
		}
		if reason, cut := strings.CutPrefix(string(line), `{"Error":`); cut {
			return fmt.Errorf("the stream was cut: %s", strings.Trim(reason, `"}`))
		}
		if string(line) == "{}" {
			continue
		}
		if err := c.writeMachine(string(line) + "\n"); err != nil {
			return err
		}
	}
	return nil
}
