package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) listFiles(r *Request) (any, error) {
	return a.back.Node.Files.List(r.Context(), r.Param("alloc"), r.path("/"))
}

func (a *API) statFile(r *Request) (any, error) {
	path, err := r.required("path")
	if err != nil {
		return nil, err
	}
	return a.back.Node.Files.Stat(r.Context(), r.Param("alloc"), path)
}

func (r *Request) path(byDefault string) string {
	if p := r.Value("path"); p != "" {
		return p
	}
	return byDefault
}

func (a *API) catFile(r *Request) (any, error) {
	return a.content(r, &nomadish.FileRequest{})
}

func (a *API) readFile(r *Request) (any, error) {
	req := &nomadish.FileRequest{}
	var err error
	if req.Offset, err = r.Int("offset", 0); err != nil {
		return nil, err
	}
	if req.Limit, err = r.Int("limit", 0); err != nil {
		return nil, err
	}
	if req.Offset < 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "offset must not be negative")
	}
	req.Limit = max(req.Limit, 0)
	return a.content(r, req)
}

// content answers with the bytes of a file.
func (a *API) content(r *Request, req *nomadish.FileRequest) (any, error) {
	var err error
	if req.Path, err = r.required("path"); err != nil {
		return nil, err
	}
	req.AllocID = r.Param("alloc")
	body, err := a.back.Node.Files.Read(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return Raw{ContentType: textPlain, Body: body}, nil
}

const textPlain = "text/plain"

// streamFile answers with frames of a file, which it follows unless told not to.
func (a *API) streamFile(r *Request) (any, error) {
	path, err := r.required("path")
	if err != nil {
		return nil, err
	}
	req := &nomadish.FileRequest{AllocID: r.Param("alloc"), Path: path, Follow: true}
	if r.Value("follow") != "" {
		if req.Follow, err = r.Bool("follow"); err != nil {
			return nil, err
		}
	}
	if req.Offset, req.Origin, err = r.origin(); err != nil {
		return nil, err
	}
	return Streamed{ContentType: textPlain, Write: func(w io.Writer) error {
		return frames(r.Context(), w, req.Follow, false, func(ctx context.Context, emit func(*nomadish.StreamFrame) error) error {
			return a.back.Node.Files.Stream(ctx, req, emit)
		})
	}}, nil
}

// logs answers with frames of a task's output, or with the bare bytes if ?plain asks for it.
func (a *API) logs(r *Request) (any, error) {
	req := &nomadish.LogRequest{AllocID: r.Param("alloc"), Type: r.Value("type")}
	var err error
	if req.Task, err = r.required("task"); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "must provide task name")
	}
	if req.Type != "stdout" && req.Type != "stderr" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "log type must be stdout or stderr, not %q", req.Type)
	}
	if req.Follow, err = r.Bool("follow"); err != nil {
		return nil, err
	}
	plain, err := r.Bool("plain")
	if err != nil {
		return nil, err
	}
	if req.Offset, req.Origin, err = r.origin(); err != nil {
		return nil, err
	}
	contentType := "application/json"
	if plain {
		contentType = textPlain
	}
	return Streamed{ContentType: contentType, Write: func(w io.Writer) error {
		return frames(r.Context(), w, req.Follow, plain, func(ctx context.Context, emit func(*nomadish.StreamFrame) error) error {
			return a.back.Node.Files.Logs(ctx, req, emit)
		})
	}}, nil
}

// origin reads where a stream begins.
func (r *Request) origin() (offset int64, origin string, err error) {
	if offset, err = r.Int("offset", 0); err != nil {
		return 0, "", err
	}
	switch origin = r.Value("origin"); origin {
	case "":
		origin = "start"
	case "start", "end":
	default:
		return 0, "", nomadish.Errorf(nomadish.KindInvalid, "origin must be start or end, not %q", origin)
	}
	if offset < 0 {
		return 0, "", nomadish.Errorf(nomadish.KindInvalid, "offset must not be negative")
	}
	return offset, origin, nil
}

// frames writes what produce emits, and while it follows a quiet source, a heartbeat each
// second: it tells the caller that the connection lives, and us that the caller does.
func frames(ctx context.Context, w io.Writer, follow, plain bool, produce func(ctx context.Context, emit func(*nomadish.StreamFrame) error) error) error {
	out := &frameWriter{w: w, plain: plain}
	if !follow || plain {
		return produce(ctx, out.emit)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- produce(ctx, out.emit) }()
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if out.heartbeat() != nil { // nobody takes it any more
				cancel()
				return <-done
			}
		}
	}
}

// frameWriter writes frames one behind the other.
type frameWriter struct {
	w     io.Writer
	plain bool

	mu    sync.Mutex
	err   error // of the first write that failed
	quiet bool  // nothing was written since the last heartbeat was due
}

func (f *frameWriter) emit(frame *nomadish.StreamFrame) error {
	data := frame.Data
	if !f.plain {
		var err error
		if data, err = json.Marshal(frame); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quiet = false
	return f.write(data)
}

// heartbeat writes one if the stream was quiet since the last was due.
func (f *frameWriter) heartbeat() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quiet {
		return f.write([]byte("{}"))
	}
	f.quiet = true
	return nil
}

func (f *frameWriter) write(p []byte) error {
	if f.err == nil && len(p) > 0 {
		_, f.err = f.w.Write(p)
	}
	return f.err
}

func (a *API) allocStats(r *Request) (any, error) {
	return a.back.Node.Usage.AllocStats(r.Context(), r.Param("alloc"), r.Value("task"))
}

func (a *API) hostStats(r *Request) (any, error) {
	return a.back.Node.Usage.HostStats(r.Context())
}

func (a *API) collectAllocation(r *Request) (any, error) {
	return nil, a.back.Node.Usage.CollectGarbage(r.Context(), r.Param("alloc"))
}

func (a *API) collectNode(r *Request) (any, error) {
	return nil, a.back.Node.Usage.CollectGarbage(r.Context(), "")
}

// onThisNode says whether this agent's own node has to run a request to a node.
func (a *API) onThisNode(r *Request) (bool, error) {
	if a.back.Node == nil {
		return false, nil
	}
	if alloc := r.Param("alloc"); alloc != "" {
		return a.back.Node.Files.Has(alloc), nil
	}
	id := r.Value("node_id")
	return id == "" || id == a.back.Node.ID, nil
}

// toNode returns the way to the node that has to run a request. This agent is a server.
func (a *API) toNode(r *Request) (http.RoundTripper, error) {
	ctx := asAgent(r.Context())
	nodeID := r.Value("node_id")
	if alloc := r.Param("alloc"); alloc != "" {
		found, _, err := a.back.Server.Allocations.Allocation(ctx, nil, alloc)
		if err != nil {
			return nil, unknown(err, "allocation %q", alloc)
		}
		nodeID = found.NodeID
	}
	if nodeID == "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "must provide a node_id: this agent runs no tasks")
	}
	if _, _, err := a.back.Server.Nodes.Node(ctx, nil, nodeID); err != nil {
		return nil, unknown(err, "node %s", nodeID)
	}
	away, err := a.back.Router.Node(ctx, nodeID)
	if err == nil && away == nil { // it is here, but has no such allocation any more
		return nil, nomadish.Errorf(nomadish.KindNotFound, "Unknown allocation %q", r.Param("alloc"))
	}
	return away, err
}

// unknown words the error of a thing that does not exist as Nomad does.
func unknown(err error, format string, args ...any) error {
	if nomadish.KindOf(err) != nomadish.KindNotFound {
		return err
	}
	return nomadish.Errorf(nomadish.KindNotFound, "Unknown "+format, args...)
}
