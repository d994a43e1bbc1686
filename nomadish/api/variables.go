package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Variables are the routes of variables and their locks. An error of a write may be a
// *nomadish.VariableConflict, which shows the variable as it is.
type Variables struct{ c *Client }

// Variables returns the routes of variables and their locks.
func (c *Client) Variables() Variables { return Variables{c} }

// List lists variables, without their items, by namespace and path.
func (v Variables) List(ctx context.Context, q *Query) ([]*nomadish.VariableMetadata, Meta, error) {
	return get[[]*nomadish.VariableMetadata](ctx, v.c, "/v1/vars", q)
}

// Variable reads a variable.
func (v Variables) Variable(ctx context.Context, path string, q *Query) (*nomadish.Variable, Meta, error) {
	return get[*nomadish.Variable](ctx, v.c, variablePath(path), q)
}

// Set stores a variable; with check only if that is its ModifyIndex, where 0 means that there
// must be none.
func (v Variables) Set(ctx context.Context, w *nomadish.Variable, check *uint64) (*nomadish.Variable, error) {
	var out *nomadish.Variable
	err := v.put(ctx, w, checked(check), &out)
	return out, err
}

// Delete removes a variable; the check is as with Set.
func (v Variables) Delete(ctx context.Context, name nomadish.VariableName, check *uint64) error {
	params := checked(check)
	if name.Namespace != "" {
		params.Set("namespace", name.Namespace)
	}
	_, err := v.c.do(ctx, call{method: http.MethodDelete, path: variablePath(name.Path), params: params, conflict: conflict})
	return err
}

// Acquire locks a variable. The lock that comes back has the ID that its holder renews and
// releases it with, and without which nobody else changes the variable.
func (v Variables) Acquire(ctx context.Context, w *nomadish.Variable) (*nomadish.Variable, error) {
	var out *nomadish.Variable
	err := v.put(ctx, w, url.Values{"lock-acquire": {""}}, &out)
	return out, err
}

// Renew gives a lock its whole time again, counted from when the call was made at the earliest.
func (v Variables) Renew(ctx context.Context, w *nomadish.Variable) (*nomadish.VariableMetadata, error) {
	var out *nomadish.VariableMetadata
	err := v.put(ctx, holderOf(w), url.Values{"lock-renew": {""}}, &out)
	return out, err
}

// Release ends a lock.
func (v Variables) Release(ctx context.Context, w *nomadish.Variable) error {
	return v.put(ctx, holderOf(w), url.Values{"lock-release": {""}}, nil)
}

// holderOf is all that a holder has to say of itself.
func holderOf(w *nomadish.Variable) *nomadish.Variable {
	out := &nomadish.Variable{}
	out.Namespace, out.Path = w.Namespace, w.Path
	if w.Lock != nil {
		out.Lock = &nomadish.VariableLock{ID: w.Lock.ID}
	}
	return out
}

// put writes a variable in the namespace that it names, or else that of the client.
func (v Variables) put(ctx context.Context, w *nomadish.Variable, params url.Values, out any) error {
	if w.Namespace != "" {
		params.Set("namespace", w.Namespace)
	}
	_, err := v.c.do(ctx, call{method: http.MethodPut, path: variablePath(w.Path), params: params, in: w, out: out, conflict: conflict})
	return err
}

func checked(check *uint64) url.Values {
	params := url.Values{}
	if check != nil {
		params.Set("cas", strconv.FormatUint(*check, 10))
	}
	return params
}

// variablePath escapes a path but for its slashes.
func variablePath(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		parts[i] = id(p)
	}
	return "/v1/var/" + strings.Join(parts, "/")
}

// conflict reads the answer to a write that came too late.
func conflict(body []byte) error {
	if !bytes.HasPrefix(body, []byte("{")) {
		return &Error{StatusCode: http.StatusConflict, Body: string(body)}
	}
	current := &nomadish.Variable{}
	if err := answerLimits.Decode(body, current); err != nil {
		return fmt.Errorf("the variable is not as expected, and the answer that shows it can't be read: %w", err)
	}
	reason := fmt.Sprintf("it is at index %d, which is not what the write was for", current.ModifyIndex)
	switch {
	case current.Lock != nil:
		reason = "its lock is held by somebody else"
	case current.ModifyIndex == 0:
		reason = "it does not exist"
	}
	return &nomadish.VariableConflict{Reason: reason, Current: current}
}
