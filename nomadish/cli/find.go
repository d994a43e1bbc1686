package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// idLength is the length of a whole UUID.
const idLength = 36

// candidate is a thing that a prefix may mean.
type candidate struct{ id, about string }

// isIDPrefix says that s may be the beginning of a UUID.
func isIDPrefix(s string) bool {
	return len(s) >= 2 && len(s) <= idLength && strings.Trim(strings.ToLower(s), "0123456789abcdef-") == ""
}

// choose returns the ID that a prefix means.
func choose(noun, prefix string, all []candidate) (string, error) {
	matches := slices.DeleteFunc(all, func(m candidate) bool { return !strings.HasPrefix(m.id, prefix) })
	switch len(matches) {
	case 0:
		return "", nomadish.Errorf(nomadish.KindNotFound, "no %s has an ID that begins with %q", noun, prefix)
	case 1:
		return matches[0].id, nil
	}
	return "", fmt.Errorf("%q is the beginning of %s:\n%s", prefix, plural(len(matches), noun), listed(matches))
}

// maxListed bounds how many things an error lists.
const maxListed = 20

// listed shows candidates, a line each.
func listed(all []candidate) string {
	lines := make([]string, 0, min(len(all), maxListed+1))
	for i, m := range all {
		if i == maxListed {
			lines = append(lines, fmt.Sprintf("  and %d more", len(all)-i))
			break
		}
		lines = append(lines, "  "+m.id+"  "+m.about)
	}
	return strings.Join(lines, "\n")
}

// whole returns the ID that a prefix of a UUID means. list gets the query for the prefix.
func (c *call) whole(noun, prefix string, list func(q *api.Query) ([]candidate, error)) (string, error) {
	prefix = strings.ToLower(prefix)
	if !isIDPrefix(prefix) {
		return "", fmt.Errorf("%q is no ID of an %s, nor the beginning of one: at least 2 hexadecimal digits", prefix, noun)
	}
	if len(prefix) == idLength {
		return prefix, nil
	}
	q, err := c.anyNamespace()
	if err != nil {
		return "", err
	}
	q.Prefix = prefix
	if len(strings.ReplaceAll(prefix, "-", ""))%2 != 0 { // the server takes whole bytes
		q.Prefix = prefix[:len(prefix)-1]
	}
	all, err := list(q)
	if err != nil {
		return "", err
	}
	return choose(noun, prefix, all)
}

// findEvaluation finds an evaluation by its ID or the beginning of it.
func (c *call) findEvaluation(ctx context.Context, client *api.Client, prefix string) (*nomadish.Evaluation, error) {
	id, err := c.whole("evaluation", prefix, func(q *api.Query) ([]candidate, error) {
		evals, _, err := client.Evaluations().List(ctx, q)
		return candidates(evals, func(e *nomadish.Evaluation) candidate { return candidate{e.ID, e.JobID} }), err
	})
	if err != nil {
		return nil, err
	}
	e, _, err := client.Evaluations().Evaluation(ctx, id, nil)
	return e, missing(err, "evaluation", prefix)
}

// findNode finds a node by its ID or the beginning of it, or by its name.
func (c *call) findNode(ctx context.Context, client *api.Client, word string) (*nomadish.Node, error) {
	stubs, _, err := client.Nodes().List(ctx, nil)
	if err != nil {
		return nil, err
	}
	id := ""
	var names []string
	var same []candidate
	for _, n := range stubs {
		names = append(names, n.Name)
		if n.Name == word {
			id = n.ID
			same = append(same, candidate{n.ID, n.Datacenter + " " + n.Status})
		}
	}
	if len(same) > 1 {
		return nil, fmt.Errorf("%s have the name %q, say which by its ID:\n%s", plural(len(same), "node"), word, listed(same))
	}
	if id == "" {
		id, err = choose("node", strings.ToLower(word), candidates(stubs, func(n *nomadish.NodeListStub) candidate { return candidate{n.ID, n.Name} }))
		if errors.Is(err, nomadish.ErrNotFound) {
			return nil, nomadish.Errorf(nomadish.KindNotFound, "no node has the name %q or an ID that begins so%s", word, didYouMean(word, names))
		}
		if err != nil {
			return nil, err
		}
	}
	n, _, err := client.Nodes().Node(ctx, id, nil)
	return n, missing(err, "node", word)
}

func candidates[T any](rows []T, of func(T) candidate) []candidate {
	out := make([]candidate, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}

// missing says in words that the server does not know a thing.
func missing(err error, noun, word string) error {
	if errors.Is(err, nomadish.ErrNotFound) {
		return nomadish.Errorf(nomadish.KindNotFound, "there is no %s %q", noun, word)
	}
	return err
}

// findJob finds a job by its ID or the beginning of it; exact says that it was the whole ID.
func (c *call) findJob(ctx context.Context, client *api.Client, word string) (job *nomadish.JobListStub, exact bool, err error) {
	all, _, err := client.Jobs().List(ctx, &api.Query{Prefix: word})
	if err != nil {
		return nil, false, err
	}
	for _, j := range all {
		if j.ID == word {
			return j, true, nil
		}
	}
	if len(all) == 0 {
		return nil, false, c.noJob(ctx, client, word)
	}
	id, err := choose("job", word, candidates(all, func(j *nomadish.JobListStub) candidate {
		return candidate{j.ID, j.Type + " " + jobState(j)}
	}))
	for _, j := range all {
		if err == nil && j.ID == id {
			return j, false, nil
		}
	}
	return nil, false, err
}

// noJob is the error for a job that is not there, with the name that may be meant.
func (c *call) noJob(ctx context.Context, client *api.Client, word string) error {
	if err := c.namespaceExists(ctx, client); err != nil {
		return err
	}
	all, _, err := client.Jobs().List(ctx, nil)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, j := range all {
		names[i] = j.ID
	}
	return nomadish.Errorf(nomadish.KindNotFound, "there is no job %q%s", word, didYouMean(word, names))
}

// namespaceExists is an error if the namespace that was asked for is not there.
func (c *call) namespaceExists(ctx context.Context, client *api.Client) error {
	cfg, err := c.apiConfig()
	if err != nil || cfg.Namespace == "" || cfg.Namespace == "*" || cfg.Namespace == nomadish.DefaultNamespace {
		return err
	}
	_, _, err = client.Namespaces().Namespace(ctx, cfg.Namespace, nil)
	if !errors.Is(err, nomadish.ErrNotFound) {
		return nil // it is there, or who asks may not know
	}
	all, _, err := client.Namespaces().List(ctx, nil)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.Name
	}
	return nomadish.Errorf(nomadish.KindNotFound, "there is no namespace %q%s", cfg.Namespace, didYouMean(cfg.Namespace, names))
}
