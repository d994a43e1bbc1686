//go:build linux && browser

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

// session is what a page does to run a command, as Nomad's web interface does: the token in
// the first message, then sizes and input, and frames back until the end.
const session = `(async () => {
	const query = new URLSearchParams({task: "main", tty: "true", ws_handshake: "true",
		command: JSON.stringify(["/bin/sh", "-c", "read line; stty size; echo got $line; exit 42"])});
	const socket = new WebSocket("ws://%s/v1/client/allocation/%s/exec?" + query);
	const seen = {out: "", code: null, opened: false};
	return await new Promise(done => {
		socket.onopen = () => {
			seen.opened = true;
			socket.send(JSON.stringify({version: 1, auth_token: ""}));
			socket.send(JSON.stringify({tty_size: {height: 44, width: 123}}));
			socket.send(JSON.stringify({stdin: {data: btoa("typed in a browser\n")}}));
		};
		socket.onmessage = event => {
			const frame = JSON.parse(event.data);
			if (frame.stdout && frame.stdout.data) seen.out += atob(frame.stdout.data);
			if (frame.exited) seen.code = frame.result.exit_code;
		};
		socket.onclose = event => done({...seen, closed: event.code, reason: event.reason});
	});
})()`

// seen is what the page tells of its session.
type seen struct {
	Out    string
	Code   *int
	Opened bool
	Closed int
	Reason string
}

// A page of the agent's own origin runs a command in a task, with input and a terminal's size,
// and learns its output and exit code. A page of any other origin gets no connection.
func TestExecFromAPage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	n := agent(ctx, t)
	job := machine.Shell("web", nomadish.JobTypeService, "exec sleep 1000")
	if _, err := n.Register(ctx, job); err != nil {
		t.Fatal(err)
	}
	a, err := n.Allocation(ctx, "web", nomadish.AllocClientRunning)
	if err != nil {
		t.Fatal(err)
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>another site</title>") // a browser that leaves is no matter
	}))
	defer foreign.Close()
	devtools := chromium(ctx, t)
	script := fmt.Sprintf(session, n.Addr, a.ID)

	var own, other seen
	open(ctx, t, devtools, "http://"+n.Addr+"/v1/agent/health").evaluate(ctx, script, &own)
	if own.Code == nil || *own.Code != 42 || own.Closed != 1000 || !strings.Contains(own.Out, "44 123\r\ngot typed in a browser\r\n") {
		t.Errorf("the agent's own page: %+v", own)
	}
	open(ctx, t, devtools, foreign.URL+"/").evaluate(ctx, script, &other)
	if other.Opened || other.Code != nil || other.Out != "" || other.Closed != 1006 {
		t.Errorf("a page of another site: %+v, want no connection", other)
	}
}

// agent starts an agent with a node.
func agent(ctx context.Context, t *testing.T) *machine.Node {
	t.Helper()
	n, err := machine.New(machine.Config{Dir: t.TempDir(), Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Report(t)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return n
}

// chromium starts a browser that nobody sees, and returns where it takes commands.
func chromium(ctx context.Context, t *testing.T) (addr string) {
	t.Helper()
	profile, err := os.MkdirTemp("", "nomadish-browser")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it has helpers
		_ = cmd.Wait()
		clean, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := machine.Until(clean, "no helper writes to the profile", func(context.Context) error { return os.RemoveAll(profile) })
		if err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the browser says\n%s", said.String())
		}
	})
	err = machine.Until(ctx, "the browser takes commands", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		port, _, whole := strings.Cut(string(text), "\n")
		if err == nil && !whole {
			err = fmt.Errorf("its port is %q", text)
		}
		addr = "127.0.0.1:" + port
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// page is a page in the browser.
type page struct {
	t    *testing.T
	conn *websocket.Conn
}

// open opens a page and returns when it has been loaded.
func open(ctx context.Context, t *testing.T, devtools, address string) *page {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+devtools+"/json/new?"+url.QueryEscape(address), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var target struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(resp.Body).Decode(&target); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(ctx, target.WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	p := &page{t, conn}
	err = machine.Until(ctx, address+" is loaded", func(ctx context.Context) error {
		at := ""
		err := p.try(ctx, `document.readyState === "complete" ? location.href : ""`, &at)
		if err == nil && at != address {
			err = fmt.Errorf("the page is at %q", at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// evaluate runs JavaScript in the page and decodes what it, or its promise, comes to.
func (p *page) evaluate(ctx context.Context, script string, to any) {
	p.t.Helper()
	if err := p.try(ctx, script, to); err != nil {
		p.t.Fatal(err)
	}
}

// try is evaluate where the page may be on its way to another.
func (p *page) try(ctx context.Context, script string, to any) error {
	call, err := json.Marshal(map[string]any{"id": 1, "method": "Runtime.evaluate", "params": map[string]any{
		"expression": script, "awaitPromise": true, "returnByValue": true,
	}})
	if err != nil {
		return err
	}
	if err := p.conn.Write(ctx, websocket.MessageText, call); err != nil {
		return err
	}
	for {
		_, data, err := p.conn.Read(ctx)
		if err != nil {
			return err
		}
		var answer struct {
			ID     int
			Result struct {
				Result           struct{ Value json.RawMessage }
				ExceptionDetails json.RawMessage
			}
			Error json.RawMessage
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return err
		}
		if answer.ID != 1 {
			continue // news of the page
		}
		if answer.Error != nil || answer.Result.ExceptionDetails != nil {
			return fmt.Errorf("the script failed: %s", data)
		}
		return json.Unmarshal(answer.Result.Result.Value, to)
	}
}
