package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
)

// tasksOf has one task, web, in which a few commands are known.
type tasksOf struct {
	*cluster
	killed chan struct{} // closed when the command hang has ended with its context
	dialed string        // where any port leads
}

func (tasksOf) Isolated(string, string) bool { return true }

func (t tasksOf) Exec(ctx context.Context, _ string, req *nomadish.ExecRequest) (int, error) {
	if req.Task != "web" {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "unknown task name %q", req.Task)
	}
	switch req.Command[0] {
	case "cat":
		_, err := io.Copy(req.Stdout, req.Stdin)
		return 0, err
	case "size":
		size := <-req.Resize
		_, err := fmt.Fprintf(req.Stdout, "%dx%d", size.Width, size.Height)
		return 0, err
	case "fail":
		_, err := io.WriteString(req.Stderr, "no")
		return 7, err
	case "flood":
		_, err := req.Stdout.Write(make([]byte, 1<<20))
		return 0, err
	}
	<-ctx.Done()
	close(t.killed)
	return 0, ctx.Err()
}

func (t tasksOf) Signal(_ context.Context, _ string, req *nomadish.AllocSignalRequest) error {
	t.note("signal", req.Task, req.Signal)
	return nil
}

func (t tasksOf) Restart(_ context.Context, _ string, req *nomadish.AllocRestartRequest) error {
	t.note("restart", req.TaskName, fmt.Sprint(req.AllTasks))
	return nil
}

func (t tasksOf) note(words ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = append(t.asked, strings.Join(words, " "))
}

func (t tasksOf) Dial(_ context.Context, _, _, port string) (net.Conn, error) {
	if port != "http" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the allocation has no port %q", port)
	}
	return net.Dial("tcp", t.dialed)
}

// node is an API with tasks, served on a socket.
func node(t *testing.T, tasks tasksOf, change ...func(*Config, *Backends)) (*API, string) {
	t.Helper()
	tasks.cluster = newCluster()
	a := tasks.api(t, append(change, func(_ *Config, b *Backends) { b.Node.Tasks = tasks })...)
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	return a, srv.URL
}

func execURL(base, task, command string) string {
	return base + "/v1/client/allocation/" + allocID + "/exec?task=" + task + "&command=" + command
}

func TestExecFrames(t *testing.T) {
	_, url := node(t, tasksOf{})
	for _, tt := range []struct {
		command string
		send    []string
		want    []string
	}{
		{"[\"cat\"]", []string{`{"stdin":{"data":"aGk="}}`, `{}`, `{"stdin":{"close":true}}`}, []string{
			`{"stdout":{"data":"aGk="}}`, `{"stdout":{"close":true}}`, `{"stderr":{"close":true}}`, `{"exited":true,"result":{"exit_code":0}}`,
		}},
		{"[\"size\"]&tty=true", []string{`{"tty_size":{"height":24,"width":80}}`}, []string{
			`{"stdout":{"data":"ODB4MjQ="}}`, `{"stdout":{"close":true}}`, `{"exited":true,"result":{"exit_code":0}}`,
		}},
		{"[\"size\"]&tty=true&typed", []string{`{"stdin":{"data":"aGk="}}`, `{"tty_size":{"height":24,"width":80}}`}, []string{ // before the size
			`{"stdout":{"data":"ODB4MjQ="}}`, `{"stdout":{"close":true}}`, `{"exited":true,"result":{"exit_code":0}}`,
		}},
		{"[\"size\"]&tty=true&none", []string{`{"tty_size":{"height":-1,"width":1}}`, `{"tty_size":{}}`}, []string{
			`{"stdout":{"data":"MHgw"}}`, `{"stdout":{"close":true}}`, `{"exited":true,"result":{"exit_code":0}}`,
		}},
		{"[\"fail\"]", nil, []string{
			`{"stderr":{"data":"bm8="}}`, `{"stdout":{"close":true}}`, `{"stderr":{"close":true}}`, `{"exited":true,"result":{"exit_code":7}}`,
		}},
	} {
		t.Run(tt.command, func(t *testing.T) {
			c := dial(t, execURL(url, "web", tt.command), nil)
			for _, m := range tt.send {
				if err := c.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
					t.Fatal(err)
				}
			}
			for _, want := range tt.want {
				_, got, err := c.Read(t.Context())
				if err != nil || string(got) != want {
					t.Fatalf("got %s, %v; want %s", got, err, want)
				}
			}
			if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("it ended with %v, want a normal closure", err)
			}
		})
	}
}

func dial(t *testing.T, url string, header http.Header) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// Every error is told as the reason of the end, since browsers can't see another answer.
func TestExecErrorsCloseTheSocket(t *testing.T) {
	_, url := node(t, tasksOf{killed: make(chan struct{})})
	_, denied := node(t, tasksOf{}, func(_ *Config, b *Backends) { b.Authority = refuser{b.Authority} })
	for _, tt := range []struct {
		name, url, reason string
		first             string
		code              websocket.StatusCode
	}{
		{name: "task", url: execURL(url, "db", `["cat"]`), code: 1008, reason: `unknown task name "db"`},
		{name: "no task", url: execURL(url, "", `["cat"]`), code: 1008, reason: "must provide a task"},
		{name: "command", url: execURL(url, "web", "[]"), code: 1008, reason: "command must be a list of words in JSON"},
		{
			name: "allocation", url: strings.Replace(execURL(url, "web", `["cat"]`), allocID, strings.Repeat("9", 36), 1),
			code: 1008, reason: `Unknown allocation "` + strings.Repeat("9", 36) + `"`,
		},
		{name: "frame", url: execURL(url, "web", `["hang"]`), first: "nonsense", code: 1008, reason: "message of an exec session: invalid character 'o' in literal null (expecting 'u')"},
		{name: "permission", url: execURL(denied, "web", `["cat"]`), code: 1008, reason: "Permission denied"},
		{name: "handshake", url: execURL(denied, "web", `["cat"]`) + "&ws_handshake=true", first: `{"version":1,"auth_token":"bad"}`, code: 1008, reason: "Permission denied"},
		{name: "no handshake", url: execURL(url, "web", `["cat"]`) + "&ws_handshake=true", first: `{}`, code: 1008, reason: "websocket handshake: want version 1 and auth_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tt.url, nil)
			if tt.first != "" {
				if err := c.Write(t.Context(), websocket.MessageText, []byte(tt.first)); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := c.Read(t.Context())
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Reason != tt.reason || closed.Code != tt.code {
				t.Errorf("got %v, want %d %s", err, tt.code, tt.reason)
			}
		})
	}
}

// refuser lets only the token "good" exec.
type refuser struct{ Authority }

func (r refuser) Authenticate(_ context.Context, c nomadish.Credentials) (nomadish.Caller, error) {
	if c.Token == "good" {
		return nomadish.Caller{Kind: nomadish.CallerManagement}, nil
	}
	return nomadish.Caller{}, nil
}

func TestExecHandshake(t *testing.T) {
	_, url := node(t, tasksOf{}, func(_ *Config, b *Backends) { b.Authority = refuser{b.Authority} })
	c := dial(t, execURL(url, "web", `["fail"]`)+"&ws_handshake=true", nil)
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"version":1,"auth_token":"good"}`)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != `{"stderr":{"data":"bm8="}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

// A page of another site must not reach a task with the browser's help.
func TestExecOrigin(t *testing.T) {
	_, url := node(t, tasksOf{}, func(c *Config, _ *Backends) { c.Origins = []string{"ui.example"} })
	host := strings.TrimPrefix(url, "http://")
	for origin, want := range map[string]int{
		"http://" + host: 101, "https://ui.example": 101, "https://evil.example": 403, "null": 403,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, execURL(url, "web", `["fail"]`), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin,
		} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("origin %s: status %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

// The command ends with the caller's connection, and with the agent.
func TestExecEnds(t *testing.T) {
	tasks := tasksOf{killed: make(chan struct{})}
	_, url := node(t, tasks)
	c := dial(t, execURL(url, "web", `["hang"]`), nil)
	if err := c.CloseNow(); err != nil {
		t.Fatal(err)
	}
	<-tasks.killed

	tasks.killed = make(chan struct{})
	a, url := node(t, tasks)
	c = dial(t, execURL(url, "web", `["hang"]`), nil)
	closed := make(chan error, 1)
	go func() {
		_, _, err := c.Read(t.Context())
		closed <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	<-tasks.killed
	if err := <-closed; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("it ended with %v, want 1001", err)
	}
}

// A caller that takes nothing holds the command up, and its memory does not grow with the
// output: what is sent is bounded by the pieces.
func TestExecPieces(t *testing.T) {
	_, url := node(t, tasksOf{})
	c := dial(t, execURL(url, "web", `["flood"]`), nil)
	c.SetReadLimit(64 << 10)
	n := 0
	for {
		_, m, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(m, []byte(`{"stdout":{"data":`)) {
			break
		}
		n++
	}
	if n != 32 {
		t.Errorf("1 MiB came in %d messages, want 32", n)
	}
}

func TestPortForwardPasses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // answers once the caller has ended its direction
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		data, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(data))
	}()
	_, url := node(t, tasksOf{dialed: l.Addr().String()})
	base := url + "/v1/client/allocation/" + allocID + "/port-forward?port="
	c := dial(t, base+"http", nil)
	for _, m := range []string{"hello", ""} {
		if err := c.Write(t.Context(), websocket.MessageBinary, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
	_, resp, err := websocket.Dial(t.Context(), base+"db", nil)
	if err == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("unknown port: %v, want status 400", err)
	}
}

// What the node does not do is answered as Nomad does: no checks of its own, and no pauses.
func TestChecksAndPauseAnswers(t *testing.T) {
	tasks := tasksOf{cluster: newCluster()}
	a := tasks.api(t, func(_ *Config, b *Backends) { b.Node.Tasks = tasks })
	base := "/v1/client/allocation/" + allocID
	for _, tt := range []struct {
		method, path, want string
		status             int
	}{
		{http.MethodGet, base + "/checks", "{}", 200},
		{http.MethodGet, base + "/pause?task=web", "Nomad Enterprise only endpoint", 501},
		{http.MethodPut, base + "/pause", "Nomad Enterprise only endpoint", 501},
	} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader("{}")))
		if got := strings.TrimSpace(w.Body.String()); w.Code != tt.status || got != tt.want {
			t.Errorf("%s %s: status %d, %q; want %d, %q", tt.method, tt.path, w.Code, got, tt.status, tt.want)
		}
	}
}

func TestSignalAndRestart(t *testing.T) {
	tasks := tasksOf{cluster: newCluster()}
	a := tasks.api(t, func(_ *Config, b *Backends) { b.Node.Tasks = tasks })
	base := "/v1/client/allocation/" + allocID
	for _, tt := range []struct {
		path, body, want string
		status           int
	}{
		{base + "/signal", `{"Task":"web","Signal":"SIGHUP"}`, "signal web SIGHUP", 200},
		{base + "/signal", `{"Task":"web"}`, "", 400},
		{base + "/restart", `{"TaskName":"web"}`, "restart web false", 200},
		{base + "/restart", `{"AllTasks":true}`, "restart  true", 200},
		{base + "/restart", ``, "restart  false", 200},
		{base + "/restart", `{"AllTasks":true,"TaskName":"web"}`, "", 400},
		{base + "/pause", `{}`, "", 501},
	} {
		w := httptest.NewRecorder()
		tasks.asked = nil
		a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, tt.path, strings.NewReader(tt.body)))
		noted := ""
		for _, s := range tasks.asked {
			if strings.HasPrefix(s, "signal") || strings.HasPrefix(s, "restart") {
				noted = s
			}
		}
		if w.Code != tt.status || noted != tt.want {
			t.Errorf("%s %s: status %d (%s), noted %q; want %d, %q", tt.path, tt.body, w.Code, w.Body, noted, tt.status, tt.want)
		}
	}
}
