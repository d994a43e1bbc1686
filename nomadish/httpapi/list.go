package httpapi

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// position is a row's place in a list, and what a page token says.
type position struct {
	index uint64 // at which the row was made; 0 in lists by id
	id    string
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.index, q.index), strings.Compare(p.id, q.id))
}

// order says how the rows of a list follow each other.
type order[T any] struct {
	at      func(T) position
	byIndex bool // oldest first; otherwise by id, as the backend gives them
	scoped  bool // ids are a namespace and a name, with scopeMark between them
}

// scopeMark sorts as the end of a namespace's name has to. Page tokens show a dot in its
// place, which is in no such name.
const scopeMark = "\x00"

func (o order[T]) token(p position) string {
	if o.byIndex {
		return strconv.FormatUint(p.index, 10) + "." + p.id
	}
	if o.scoped {
		return strings.Replace(p.id, scopeMark, ".", 1)
	}
	return p.id
}

// parse reads a token. One that we did not make is still a place in the list.
func (o order[T]) parse(token string) position {
	if o.scoped {
		token = strings.Replace(token, ".", scopeMark, 1)
	}
	if !o.byIndex {
		return position{id: token}
	}
	left, right, ok := strings.Cut(token, ".")
	index, err := strconv.ParseUint(left, 10, 64)
	if !ok || err != nil {
		return position{id: token}
	}
	return position{index: index, id: right}
}

// list answers with the rows of a backend that the query asks for.
func list[T any](r *Request, o order[T], read func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[T], uint64, error)) (any, error) {
	if r.route.is(PrefixID) {
		if err := checkIDPrefix(r.Query.Prefix); err != nil {
			return nil, err
		}
	}
	match, err := filter[T](r.Query.Filter)
	if err != nil {
		return nil, err
	}
	p := pager[T]{order: o, query: r.Query, match: match}
	return one(r, func(ctx context.Context, ws memdb.WatchSet) ([]T, uint64, error) {
		rows, index, err := read(ctx, ws)
		if err != nil {
			return nil, index, err
		}
		page, next, err := p.pick(ctx, rows)
		r.nextToken = next
		return page, index, err
	})
}

// checkIDPrefix refuses a UUID prefix that ends within a byte.
func checkIDPrefix(prefix string) error {
	digits := strings.ReplaceAll(prefix, "-", "")
	if len(digits)%2 != 0 {
		return nomadish.Errorf(nomadish.KindInvalid, "Input (without hyphens) must be even length")
	}
	if _, err := hex.DecodeString(digits); err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "prefix %q is not that of a UUID", prefix)
	}
	return nil
}

// filterSteps bounds the work of the parser of filter expressions.
const filterSteps = 200_000

// filter compiles a filter expression over the fields of T; nil matches all.
func filter[T any](expression string) (func(T) (bool, error), error) {
	if expression == "" {
		return nil, nil
	}
	e, err := bexpr.CreateEvaluator(expression, bexpr.WithMaxExpressions(filterSteps))
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "failed to create result paginator: failed to read filter expression: %w", err)
	}
	return func(row T) (bool, error) {
		ok, err := e.Evaluate(row)
		if err != nil {
			return false, nomadish.Errorf(nomadish.KindInvalid, "failed to read result page: %w", err)
		}
		return ok, nil
	}, nil
}

// pager picks a page out of rows.
type pager[T any] struct {
	order order[T]
	query Query
	match func(T) (bool, error)
}

// less is the order of the answer.
func (p *pager[T]) compare(a, b position) int {
	if p.query.Reverse {
		return b.compare(a)
	}
	return a.compare(b)
}

// pick returns the rows of the page, never nil, and the token of the next one.
func (p *pager[T]) pick(ctx context.Context, rows iter.Seq[T]) ([]T, string, error) {
	from := p.order.parse(p.query.NextToken)
	sorted := !p.order.byIndex && !p.query.Reverse // rows come as they are wanted
	kept := &pageHeap[T]{pager: p, rows: []T{}}
	seen := 0
	for row := range rows {
		if seen++; seen%1024 == 0 && ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if p.query.NextToken != "" && p.compare(p.order.at(row), from) < 0 {
			continue
		}
		if p.match != nil {
			ok, err := p.match(row)
			if err != nil {
				return nil, "", err
			}
			if !ok {
				continue
			}
		}
		if kept.add(row, sorted) {
			break
		}
	}
	page := kept.rows
	if !sorted {
		slices.SortFunc(page, func(a, b T) int { return p.compare(p.order.at(a), p.order.at(b)) })
	}
	if n := p.query.PerPage; n > 0 && len(page) > n {
		return page[:n:n], p.order.token(p.order.at(page[n])), nil
	}
	return page, "", nil
}

// pageHeap keeps the first rows of a page and the one behind it, the last of them on top.
type pageHeap[T any] struct {
	pager *pager[T]
	rows  []T
}

// add takes a row. It returns true when no later row can matter.
func (h *pageHeap[T]) add(row T, sorted bool) bool {
	limit := h.pager.query.PerPage + 1
	switch {
	case limit == 1:
		h.rows = append(h.rows, row)
	case sorted:
		h.rows = append(h.rows, row)
		return len(h.rows) == limit
	case len(h.rows) < limit:
		heap.Push(h, row)
	case h.pager.compare(h.pager.order.at(row), h.pager.order.at(h.rows[0])) < 0:
		h.rows[0] = row
		heap.Fix(h, 0)
	}
	return false
}

func (h *pageHeap[T]) Len() int { return len(h.rows) }
func (h *pageHeap[T]) Less(i, j int) bool {
	return h.pager.compare(h.pager.order.at(h.rows[i]), h.pager.order.at(h.rows[j])) > 0
}
func (h *pageHeap[T]) Swap(i, j int) { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }

// Push is there for heap.Interface.
func (h *pageHeap[T]) Push(x any) { h.rows = append(h.rows, x.(T)) }

// Pop is there for heap.Interface; a page never shrinks.
func (h *pageHeap[T]) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}

// errFilterAlone is what Nomad says when a list is filtered in two ways.
var errFilterAlone = nomadish.Errorf(nomadish.KindInvalid, "Filter expression cannot be used with other filter parameters")
