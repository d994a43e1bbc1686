package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// allocationHelp says in a command's help how allocations are named.
const allocationHelp = `  ALLOCATION is an allocation's ID or the beginning of one, its name (web.cache[0]), or in
  short the job's ID with the group, the number, both or a node (web/cache, web/0, web/cache/0,
  web/node1). A job's ID alone means its only allocation.`

// findAllocation finds an allocation by its ID or the beginning of it, by its name, or by its job.
func (c *call) findAllocation(ctx context.Context, client *api.Client, word string) (*nomadish.Allocation, error) {
	var id string
	stub, err := c.namedAllocation(ctx, client, word)
	switch {
	case err == nil:
		id = stub.ID
	case !errors.Is(err, nomadish.ErrNotFound):
		return nil, err
	case !isIDPrefix(strings.ToLower(word)):
		return nil, c.noAllocation(ctx, client, word)
	default:
		if id, err = c.wholeAllocation(ctx, client, word); errors.Is(err, nomadish.ErrNotFound) {
			return nil, c.noAllocation(ctx, client, word)
		} else if err != nil {
			return nil, err
		}
	}
	a, _, err := client.Allocations().Allocation(ctx, id, nil)
	return a, missing(err, "allocation", word)
}

func (c *call) wholeAllocation(ctx context.Context, client *api.Client, prefix string) (string, error) {
	return c.whole("allocation", prefix, func(q *api.Query) ([]candidate, error) {
		stubs, _, err := client.Allocations().List(ctx, q)
		return candidates(stubs, func(a *nomadish.AllocationListStub) candidate { return candidate{a.ID, a.Name} }), err
	})
}

// noAllocation is the error for an allocation that is not there, with the job that may be meant.
func (c *call) noAllocation(ctx context.Context, client *api.Client, word string) error {
	err := c.noJob(ctx, client, word)
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	near := ""
	if _, found, ok := strings.Cut(err.Error(), ": did you mean "); ok {
		near = ": did you mean " + found
	}
	return nomadish.Errorf(nomadish.KindNotFound, "there is no allocation and no job %q%s", word, near)
}

// namedAllocation finds an allocation by a name that begins with its job's ID. Job IDs may hold
// the characters that separate, so each place where the ID could end is tried, the last first.
func (c *call) namedAllocation(ctx context.Context, client *api.Client, word string) (*nomadish.AllocationListStub, error) {
	if len(word) == idLength && isIDPrefix(strings.ToLower(word)) {
		return nil, nomadish.ErrNotFound
	}
	for end := len(word); end > 0; end = strings.LastIndexAny(word[:end], "./") {
		all, _, err := client.Jobs().Allocations(ctx, word[:end], false, nil)
		if err != nil && !errors.Is(err, nomadish.ErrNotFound) {
			return nil, err
		}
		if len(all) == 0 {
			continue
		}
		rest := ""
		if end < len(word) {
			rest = word[end+1:]
		}
		return pick(word, word[:end], rest, all)
	}
	return nil, nomadish.ErrNotFound
}

// pick chooses the allocation of a job that a selector means: group, group[0], 0, the name of a
// node, or nothing. Those that are to run come before those that have ended,
// of which the newest is taken.
func pick(word, jobID, selector string, all []*nomadish.AllocationListStub) (*nomadish.AllocationListStub, error) {
	matches := func(a *nomadish.AllocationListStub) bool {
		index := fmt.Sprint(allocIndex(a.Name))
		return selector == "" || selector == a.TaskGroup || selector == index || selector == a.NodeName ||
			selector == a.TaskGroup+"/"+index || selector == a.TaskGroup+"["+index+"]"
	}
	var live, dead []*nomadish.AllocationListStub
	for _, a := range all {
		switch {
		case !matches(a):
		case ended(a):
			dead = append(dead, a)
		default:
			live = append(live, a)
		}
	}
	newest := func(a, b *nomadish.AllocationListStub) int { return cmp.Compare(a.CreateIndex, b.CreateIndex) }
	switch {
	case len(live) == 1:
		return live[0], nil
	case len(live) > 1:
		slices.SortStableFunc(live, newest)
		return nil, fmt.Errorf("%q means %s, name one:\n%s", word, plural(len(live), "allocation"),
			listed(candidates(live, func(a *nomadish.AllocationListStub) candidate {
				return candidate{a.ID, a.Name + " on " + cmp.Or(a.NodeName, a.NodeID) + ", " + a.ClientStatus}
			})))
	case len(dead) > 0:
		return slices.MaxFunc(dead, newest), nil
	}
	var names []string
	for _, a := range all {
		names = append(names, a.TaskGroup, fmt.Sprint(allocIndex(a.Name)))
	}
	slices.Sort(names)
	return nil, fmt.Errorf("job %q has no allocation %q among %s%s", jobID, selector, strings.Join(slices.Compact(names), ", "), didYouMean(selector, names))
}
