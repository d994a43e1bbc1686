package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// maxTopics bounds what one stream of events may ask for.
const maxTopics = 100

// events streams what changes, a line of JSON for each command.
func (a *API) events(r *Request) (any, error) {
	req := &nomadish.EventRequest{Namespace: r.Query.Namespace, Index: r.Query.MinIndex, FromNow: !r.values.Has("index")}
	var err error
	if req.Topics, err = topics(r.values["topic"]); err != nil {
		return nil, err
	}
	if r.values.Has("follow") {
		follow, err := r.Bool("follow")
		if err != nil {
			return nil, err
		}
		req.Once = !follow
	}
	// The reader may lose its rights while it reads.
	req.Check = func(ctx context.Context) error {
		for _, t := range req.Topics {
			if err := maySee(ctx, t.Topic, req.Namespace); err != nil {
				return err
			}
		}
		return nil
	}
	if err := req.Check(r.Context()); err != nil {
		return nil, err
	}
	req.Allowed = func(ctx context.Context, topic, namespace string) bool {
		return maySee(ctx, topic, namespace) == nil
	}
	return Streamed{ContentType: "application/json", Ends: true, Write: func(w io.Writer) error {
		return a.streamEvents(r, w, req)
	}}, nil
}

// streamEvents writes events until there are no more. Why the stream ends is its last line,
// unless it could not begin.
func (a *API) streamEvents(r *Request, w io.Writer, req *nomadish.EventRequest) error {
	var begun bool
	var gone error
	err := a.back.Server.Events.StreamEvents(r.Context(), req, func(line []byte) error {
		begun = true
		_, gone = w.Write(line)
		return gone
	})
	if lost := r.lost(); lost != nil {
		err = lost
	}
	if err == nil || !begun || gone != nil && errors.Is(err, gone) {
		return err
	}
	text, jsonErr := json.Marshal(map[string]string{"Error": err.Error()})
	if jsonErr != nil {
		return jsonErr
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// maySee says whether the caller of a request may see events of a topic. All topics are no
// topic of their own: who asks for them gets those that it may see.
func maySee(ctx context.Context, topic, namespace string) error {
	var permission Permission
	switch topic {
	case nomadish.TopicAll:
		return nil
	case nomadish.TopicJob, nomadish.TopicAllocation, nomadish.TopicEvaluation, nomadish.TopicDeployment:
		permission = nomadish.PermReadJob // in all namespaces each event is checked in its own
	case nomadish.TopicNode:
		permission = nomadish.PermNodeRead
	case nomadish.TopicNodePool:
		permission = nomadish.PermNodePoolRead
	default:
		permission = nomadish.PermManagement
	}
	return nomadish.CallerFrom(ctx).Check(permission, namespace, "")
}

// topics reads what a stream is asked for: Topic, or Topic:key.
func topics(values []string) ([]nomadish.EventTopic, error) {
	if len(values) > maxTopics {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%d topics, at most %d are allowed", len(values), maxTopics)
	}
	var out []nomadish.EventTopic
	for _, value := range values {
		parts := strings.Split(value, ":")
		if len(parts) > 2 || parts[0] == "" {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid key value pair %q: want Topic or Topic:key", value)
		}
		t := nomadish.EventTopic{Topic: parts[0], Key: "*"}
		if len(parts) == 2 && parts[1] != "" {
			t.Key = parts[1]
		}
		out = append(out, t)
	}
	return out, nil
}
