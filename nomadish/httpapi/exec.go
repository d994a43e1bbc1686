package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
)

// pieceSize bounds the data of one message to a caller.
const pieceSize = 32 << 10

// exec runs a command inside a task, its streams being messages of a websocket.
func (a *API) exec(r *Request) (any, error) {
	req := &nomadish.ExecRequest{}
	var err error
	if req.Task, err = r.required("task"); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(r.Value("command")), &req.Command); err != nil || len(req.Command) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "command must be a list of words in JSON")
	}
	if req.TTY, err = r.Bool("tty"); err != nil {
		return nil, err
	}
	allocID := r.Param("alloc")
	return Upgraded{Serve: func(ctx context.Context, c *websocket.Conn, end func(error)) {
		runExec(ctx, c, req, end, func(ctx context.Context) (int, error) {
			return a.back.Node.Tasks.Exec(ctx, allocID, req)
		})
	}}, nil
}

// runExec gives a command its streams and tells how it ended. The command ends with whole,
// and when the caller has gone.
func runExec(whole context.Context, c *websocket.Conn, req *nomadish.ExecRequest, end func(error), run func(context.Context) (int, error)) {
	ctx, cancel := context.WithCancel(whole)
	stdin, input := io.Pipe()
	sizes := make(chan nomadish.TerminalSize, 1)
	out := &messages{ctx: ctx, c: c}
	req.Stdin, req.Resize = stdin, sizes
	req.Stdout = writerFunc(func(p []byte) error { return out.send(&nomadish.ExecOutput{Stdout: &nomadish.ExecData{Data: p}}) })
	req.Stderr = writerFunc(func(p []byte) error { return out.send(&nomadish.ExecOutput{Stderr: &nomadish.ExecData{Data: p}}) })

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	// What is typed waits here while the command is not ready for it: what comes behind it, such as
	// the terminal's size, must not.
	typed := make(chan []byte, typedPieces)
	wg.Go(func() {
		for piece := range typed {
			_, _ = input.Write(piece) // fails when the command has ended, which takes no more then
		}
		_ = input.Close() // never fails
	})
	var fault error // of the caller's; set before gone is closed
	gone := make(chan struct{})
	wg.Go(func() {
		defer close(gone)
		defer cancel()
		// It goes on when ctx ends, for a websocket can be closed regularly only while it is
		// read from; end ends it.
		fault = receive(context.WithoutCancel(whole), c, typed, sizes)
	})
	wg.Go(func() { out.beat(ctx) })

	code, err := run(ctx)
	_ = stdin.Close() // wakes a write that nobody will read; never fails
	switch {
	case err == nil:
		out.finish(req.TTY, code)
	case ctx.Err() != nil && whole.Err() == nil: // the caller has gone, or sends nonsense
		<-gone
		if err = nil; nomadish.KindOf(fault) == nomadish.KindInvalid {
			err = fault
		}
	}
	end(err)
}

// typedPieces bounds how many messages with input wait for a command.
const typedPieces = 16

// receive passes on what the caller sends until it goes. A command that takes no input
// holds the caller up.
func receive(ctx context.Context, c *websocket.Conn, typed chan<- []byte, sizes chan nomadish.TerminalSize) error {
	open := true
	end := func() {
		if open {
			close(typed)
		}
		open = false
	}
	defer end()
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			return err
		}
		var m nomadish.ExecInput
		if err := json.Unmarshal(data, &m); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "message of an exec session: %w", err)
		}
		if size := m.TTYSize; size != nil && size.Valid() {
			select {
			case <-sizes: // only the newest counts
			default:
			}
			sizes <- *size
		}
		if m.Stdin == nil {
			continue
		}
		if len(m.Stdin.Data) > 0 && open {
			typed <- m.Stdin.Data
		}
		if m.Stdin.Close {
			end()
		}
	}
}

// messages sends messages to a caller, who holds the command up if it takes none.
type messages struct {
	ctx context.Context //nolint:containedctx // io.Writers take none
	c   *websocket.Conn
}

func (m *messages) send(out *nomadish.ExecOutput) error {
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return m.c.Write(m.ctx, websocket.MessageText, data)
}

// beat sends heartbeats: they tell the caller that we live, and us that the caller does.
func (m *messages) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeatInput)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m.send(&nomadish.ExecOutput{}) != nil {
				return // the reader finds out the same
			}
		}
	}
}

// finish tells the ends of the streams and of the command. A caller that has gone meanwhile
// is no fault.
func (m *messages) finish(tty bool, code int) {
	last := []*nomadish.ExecOutput{{Stdout: &nomadish.ExecData{Close: true}}}
	if !tty {
		last = append(last, &nomadish.ExecOutput{Stderr: &nomadish.ExecData{Close: true}})
	}
	last = append(last, &nomadish.ExecOutput{Exited: true, Result: &nomadish.ExecResult{ExitCode: code}})
	for _, out := range last {
		if m.send(out) != nil {
			return
		}
	}
}

// writerFunc is a writer that takes pieces of a bounded size.
type writerFunc func(p []byte) error

func (w writerFunc) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		piece := p[sent:min(len(p), sent+pieceSize)]
		if err := w(piece); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return sent, nil
}
