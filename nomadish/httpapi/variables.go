package httpapi

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// bodyVariable lets in 64 KiB of items in whatever way JSON writes them.
const bodyVariable = 512 << 10

// Variables keeps variables and their locks. It checks the caller's permission on each path.
// Writes return their index. An error of a write may be a *nomadish.VariableConflict.
type Variables interface {
	// List lists variables by namespace and path, from a place in the list on.
	List(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, from nomadish.VariableName) (iter.Seq[*nomadish.VariableMetadata], uint64, error)
	Read(ctx context.Context, ws memdb.WatchSet, namespace, path string) (*nomadish.Variable, uint64, error)
	// Set and Delete write only if check, when it is given, is the variable's ModifyIndex; 0
	// means that there must be none.
	Set(ctx context.Context, v *nomadish.Variable, check *uint64) (*nomadish.Variable, uint64, error)
	Delete(ctx context.Context, namespace, path string, check *uint64) (uint64, error)
	Acquire(ctx context.Context, v *nomadish.Variable) (*nomadish.Variable, uint64, error)
	Release(ctx context.Context, v *nomadish.Variable) (*nomadish.Variable, uint64, error)
	// Renew is only asked of a leader that knows all that was written before.
	Renew(ctx context.Context, v *nomadish.Variable) (*nomadish.VariableMetadata, uint64, error)
}

func (a *API) variables(r *Request) (any, error) {
	rows := order[*nomadish.VariableMetadata]{
		at:     func(m *nomadish.VariableMetadata) position { return position{id: m.Namespace + scopeMark + m.Path} },
		scoped: true,
	}
	var from nomadish.VariableName
	if !r.Query.Reverse { // in reverse a page ends there
		from.Namespace, from.Path, _ = strings.Cut(rows.parse(r.Query.NextToken).id, scopeMark)
	}
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.VariableMetadata], uint64, error) {
		return a.back.Server.Variables.List(ctx, ws, r.Query.Namespace, r.Query.Prefix, from)
	})
}

// variablePath is the path of a variable. The slashes around it have no meaning.
func variablePath(r *Request) string { return strings.Trim(r.Param("path"), "/ ") }

func (a *API) variable(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Variable, uint64, error) {
		return a.back.Server.Variables.Read(ctx, ws, r.Query.Namespace, variablePath(r))
	})
}

// Operations on the lock of a variable, as the query string names them.
const (
	lockAcquire = "lock-acquire"
	lockRenew   = "lock-renew"
	lockRelease = "lock-release"
)

// putVariable writes a variable, or does something with its lock.
func (a *API) putVariable(r *Request) (any, error) {
	operation, check, err := variableWrite(r)
	if err != nil {
		return nil, err
	}
	v := &nomadish.Variable{}
	if err := r.Decode(v); err != nil {
		return nil, err
	}
	if err := variableTarget(r, v); err != nil {
		return nil, err
	}
	back := a.back.Server.Variables
	switch operation {
	case lockAcquire:
		out, index, err := back.Acquire(r.Context(), v)
		return written(r, out, index, err)
	case lockRelease:
		out, index, err := back.Release(r.Context(), v)
		return written(r, out, index, err)
	case lockRenew:
		// A server that led until now must not promise what its successor does not know of.
		if err := a.back.Server.Reads.Sync(r.Context()); err != nil {
			return nil, err
		}
		out, index, err := back.Renew(r.Context(), v)
		return written(r, out, index, err)
	}
	out, index, err := back.Set(r.Context(), v, check)
	return written(r, out, index, err)
}

// variableWrite reads which of the operations a write asks for, and its check.
func variableWrite(r *Request) (operation string, check *uint64, err error) {
	for _, name := range []string{lockAcquire, lockRenew, lockRelease} {
		switch {
		case !r.values.Has(name):
		case operation != "":
			return "", nil, nomadish.Errorf(nomadish.KindInvalid, "%s and %s can't be asked for at once", operation, name)
		default:
			operation = name
		}
	}
	if check, err = checkIndex(r); err == nil && check != nil && operation != "" {
		err = nomadish.Errorf(nomadish.KindInvalid, "cas and %s can't be asked for at once", operation)
	}
	return operation, check, err
}

// checkIndex reads ?cas; nil: there is none.
func checkIndex(r *Request) (*uint64, error) {
	if !r.values.Has("cas") {
		return nil, nil
	}
	n, err := strconv.ParseUint(r.Value("cas"), 10, 64)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of cas: must be an index", r.Value("cas"))
	}
	return &n, nil
}

// variableTarget says where a variable is written: at the path of the request, in the
// namespace of the query if there is one.
func variableTarget(r *Request, v *nomadish.Variable) error {
	path := variablePath(r)
	if named := strings.Trim(v.Path, "/ "); named != "" && named != path {
		return nomadish.Errorf(nomadish.KindInvalid, "variable path %q in payload does not match %q in URL", named, path)
	}
	v.Path = path
	if r.Value("namespace") != "" || v.Namespace == "" {
		v.Namespace = r.Query.Namespace
	}
	return nil
}

// written answers a write. What a conflict shows is a body like that of success.
func written[T any](r *Request, out T, index uint64, err error) (any, error) {
	var conflict *nomadish.VariableConflict
	if errors.As(err, &conflict) {
		r.status = http.StatusConflict
		return conflict.Current, nil
	}
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return out, nil
}

func (a *API) deleteVariable(r *Request) (any, error) {
	check, err := checkIndex(r)
	if err != nil {
		return nil, err
	}
	index, err := a.back.Server.Variables.Delete(r.Context(), r.Query.Namespace, variablePath(r), check)
	answer, err := written[any](r, nil, index, err)
	if err == nil && answer == nil {
		r.status = cmp.Or(r.status, http.StatusNoContent)
	}
	return answer, err
}
