package httpapi

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/socket"
)

func (a *API) signalAllocation(r *Request) (any, error) {
	var req nomadish.AllocSignalRequest
	if err := r.Decode(&req); err != nil {
		return nil, err
	}
	if req.Signal == "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Signal must be set, such as SIGHUP")
	}
	return struct{}{}, a.back.Node.Tasks.Signal(r.Context(), r.Param("alloc"), &req)
}

func (a *API) restartAllocation(r *Request) (any, error) {
	var req nomadish.AllocRestartRequest
	if err := r.DecodeOptional(&req); err != nil {
		return nil, err
	}
	if req.AllTasks && req.TaskName != "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "TaskName and AllTasks can't be set both")
	}
	return struct{}{}, a.back.Node.Tasks.Restart(r.Context(), r.Param("alloc"), &req)
}

// allocChecks answers with the states of an allocation's health checks. Nothing on a node
// runs checks, so it has none.
func (a *API) allocChecks(*Request) (any, error) { return struct{}{}, nil }

func (a *API) pauseAllocation(*Request) (any, error) {
	return nil, &statusError{http.StatusNotImplemented, "Nomad Enterprise only endpoint"}
}

// portForward joins the caller with a port of a task.
func (a *API) portForward(r *Request) (any, error) {
	port, err := r.required("port")
	if err != nil {
		return nil, err
	}
	if !wantsSocket(r.HTTP) { // before anybody is called
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%s needs a websocket: ask with Connection: Upgrade", r.route.Path)
	}
	conn, err := a.back.Node.Tasks.Dial(r.Context(), r.Param("alloc"), r.Value("task"), port)
	if err != nil {
		return nil, err
	}
	return Upgraded{
		Serve: func(ctx context.Context, c *websocket.Conn, end func(error)) {
			if err := socket.Join(socket.New(ctx, c), conn); err != nil {
				a.cfg.Logger.Debug("port-forward ended", "alloc", r.Param("alloc"), "err", err)
			}
			end(nil)
		},
		Refused: conn.Close,
	}, nil
}
