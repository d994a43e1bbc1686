package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// statuses maps kinds of errors to status codes, for all routes.
var statuses = map[nomadish.Kind]int{
	nomadish.KindInternal: http.StatusInternalServerError,
	nomadish.KindInvalid:  http.StatusBadRequest,
	nomadish.KindDenied:   http.StatusForbidden,
	nomadish.KindNotFound: http.StatusNotFound,
	nomadish.KindConflict: http.StatusConflict,
	nomadish.KindTooLarge: http.StatusRequestEntityTooLarge,
	nomadish.KindLimited:  http.StatusTooManyRequests,
	nomadish.KindNoLeader: http.StatusServiceUnavailable,
	nomadish.KindNoSpace:  http.StatusInsufficientStorage,
	nomadish.KindUnknown:  http.StatusServiceUnavailable,
}

// kept are errors that Nomad answers with a status other than their kind's, and that the
// named clients tell apart by status and text. The text is matched at the start, or
// anywhere where the start varies.
var kept = []struct {
	text   string
	within bool
	status int
	client string
}{
	{"error occurred:\n", true, http.StatusInternalServerError, "Terraform, Levant: validation of jobs"},
	{"errors occurred:\n", true, http.StatusInternalServerError, "Terraform, Levant: validation of jobs"},
	{"Enforcing job modify index", false, http.StatusInternalServerError, "CLI, nomad-pack: job run -check-index"},
	{"No path to region", false, http.StatusInternalServerError, "CLI, Terraform"},
	{"No path to node", false, http.StatusInternalServerError, "CLI: alloc fs, logs, exec"},
	{"Input (without hyphens) must be even length", false, http.StatusInternalServerError, "CLI: id prefixes"},
}

// statusError is an error whose status is no kind's.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

// statusOf returns the status of an error.
func statusOf(err error) int {
	var se *statusError
	if errors.As(err, &se) {
		return se.status
	}
	kind := nomadish.KindOf(err)
	message := err.Error()
	for _, k := range kept {
		if strings.HasPrefix(message, k.text) || (k.within && strings.Contains(message, k.text)) {
			return k.status
		}
	}
	if kind == nomadish.KindInternal && errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout
	}
	return statuses[kind]
}

// writeError answers with an error: its bare message as text, without a newline.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelWarn
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		// The caller has gone, and hears nothing of this, or this agent is about to.
		level = slog.LevelDebug
		err = nomadish.Errorf(nomadish.KindNoLeader, "this agent is shutting down: ask again, or another one")
	}
	status := statusOf(err)
	if status >= http.StatusInternalServerError {
		a.cfg.Logger.Log(r.Context(), level, "request ended in an error", "method", r.Method, "path", r.URL.Path, "status", status, "err", err)
	}
	h := w.Header()
	h.Del("Content-Encoding")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	again := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
	if errors.Is(err, transport.ErrUnreachable) {
		h.Set("Retry-After", unreachableFor)
	}
	if again && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "1")
	}
	if status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(err.Error())) // the client is gone if this fails
}
