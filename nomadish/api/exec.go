package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/socket"
)

// Limits of websockets.
const (
	maxMessage = 128 << 10
	inputPiece = 32 << 10
	pulseEvery = 10 * time.Second
)

// dialSocket makes a request whose answer is a websocket.
func (c *Client) dialSocket(ctx context.Context, path string, params url.Values) (*websocket.Conn, error) {
	req, err := c.request(ctx, call{method: http.MethodGet, path: path, params: params})
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	conn, resp, err := websocket.Dial(ctx, req.URL.String(), &websocket.DialOptions{
		HTTPClient: c.http, HTTPHeader: req.Header, CompressionMode: websocket.CompressionDisabled,
	})
	if err == nil {
		conn.SetReadLimit(maxMessage)
		return conn, nil
	}
	if resp == nil || resp.StatusCode < 300 {
		return nil, err
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, errorMax))
	return nil, errors.Join(&Error{StatusCode: resp.StatusCode, Body: string(body)}, readErr)
}

// Exec runs a command inside a running task, named by req.Task, and returns its exit code.
// When ctx ends the command is killed. A read of req.Stdin may still go on when Exec
// returns; what it reads is lost.
func (a Allocations) Exec(ctx context.Context, allocID string, req *nomadish.ExecRequest) (int, error) {
	command, err := json.Marshal(req.Command)
	if err != nil {
		return 0, err
	}
	conn, err := a.c.dialSocket(ctx, "/v1/client/allocation/"+id(allocID)+"/exec", url.Values{
		"task": {req.Task}, "command": {string(command)}, "tty": {strconv.FormatBool(req.TTY)},
	})
	if err != nil {
		return 0, err
	}
	defer conn.CloseNow() //nolint:errcheck // regularly it is closed by then
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if req.TTY && req.Resize == nil { // says that nobody needs to wait for one
		if err := sendMessage(ctx, conn, &nomadish.ExecInput{TTYSize: &nomadish.TerminalSize{}}); err != nil {
			return 0, err
		}
	}
	select {
	case size, ok := <-req.Resize: // one that is there goes before what is typed
		if ok {
			if err := sendMessage(ctx, conn, &nomadish.ExecInput{TTYSize: &size}); err != nil {
				return 0, err
			}
		}
	default:
	}
	wg.Go(func() { sendSizes(ctx, conn, req.Resize) })
	if req.Stdin != nil {
		go sendInput(ctx, conn, req.Stdin) // a read of a terminal can't be interrupted
	} else if err := sendMessage(ctx, conn, &nomadish.ExecInput{Stdin: &nomadish.ExecData{Close: true}}); err != nil {
		return 0, err
	}
	return receive(ctx, conn, req)
}

// receive hands out what the command writes until it has ended.
func receive(ctx context.Context, conn *websocket.Conn, req *nomadish.ExecRequest) (int, error) {
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return 0, reasonOf(ctx, err)
		}
		var m nomadish.ExecOutput
		if err := json.Unmarshal(data, &m); err != nil {
			return 0, fmt.Errorf("message of an exec session: %w", err)
		}
		if m.Exited && m.Result != nil {
			_ = conn.Close(websocket.StatusNormalClosure, "") // all is told
			return m.Result.ExitCode, nil
		}
		if err := errors.Join(writePiece(req.Stdout, m.Stdout), writePiece(req.Stderr, m.Stderr)); err != nil {
			return 0, err
		}
	}
}

func writePiece(w io.Writer, d *nomadish.ExecData) error {
	if w == nil || d == nil || len(d.Data) == 0 {
		return nil
	}
	_, err := w.Write(d.Data)
	return err
}

// reasonOf makes an error of the one that ended a session: the agent's reason, if it gave one.
func reasonOf(ctx context.Context, err error) error {
	var closed websocket.CloseError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &closed) || closed.Reason == "":
		return fmt.Errorf("exec session ended before the command: %w", err)
	case closed.Code == websocket.StatusGoingAway:
		return &Error{StatusCode: http.StatusServiceUnavailable, Body: closed.Reason}
	case closed.Code == websocket.StatusPolicyViolation:
		return &Error{StatusCode: http.StatusBadRequest, Body: closed.Reason}
	}
	return &Error{StatusCode: http.StatusInternalServerError, Body: closed.Reason}
}

// sendMessage sends one message. If it fails, so does the reading, which tells why.
func sendMessage(ctx context.Context, conn *websocket.Conn, m *nomadish.ExecInput) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, data)
}

// sendSizes sends the terminal's sizes, and heartbeats.
func sendSizes(ctx context.Context, conn *websocket.Conn, sizes <-chan nomadish.TerminalSize) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		m := &nomadish.ExecInput{}
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			m.TTYSize = &size
		case <-tick.C:
		}
		if sendMessage(ctx, conn, m) != nil {
			return
		}
	}
}

// sendInput sends what there is to read, and its end.
func sendInput(ctx context.Context, conn *websocket.Conn, input io.Reader) {
	buf := make([]byte, inputPiece)
	for ctx.Err() == nil {
		n, err := input.Read(buf)
		if n > 0 && sendMessage(ctx, conn, &nomadish.ExecInput{Stdin: &nomadish.ExecData{Data: buf[:n]}}) != nil {
			return
		}
		if err != nil {
			_ = sendMessage(ctx, conn, &nomadish.ExecInput{Stdin: &nomadish.ExecData{Close: true}}) // the reading tells why
			return
		}
	}
}

// PortForward connects to a port of an allocation, by its number or label. task may be
// empty where the tasks share a network. The connection lasts until ctx ends or it is closed;
// its CloseWrite ends one direction.
func (a Allocations) PortForward(ctx context.Context, allocID, task, port string) (*socket.Conn, error) {
	params := url.Values{"port": {port}}
	if task != "" {
		params.Set("task", task)
	}
	conn, err := a.c.dialSocket(ctx, "/v1/client/allocation/"+id(allocID)+"/port-forward", params)
	if err != nil {
		return nil, err
	}
	return socket.New(ctx, conn), nil
}
