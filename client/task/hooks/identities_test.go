package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// fakeSigner numbers what it signs.
type fakeSigner struct {
	mu      sync.Mutex
	count   int
	away    error
	refuses string
	ttl     time.Duration
}

func (s *fakeSigner) SignIdentities(_ context.Context, requests []nomadish.IdentityRequest) ([]nomadish.SignedIdentity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	s.count++
	var out []nomadish.SignedIdentity
	for _, r := range requests {
		if s.refuses != "" {
			out = append(out, nomadish.SignedIdentity{Error: s.refuses})
			continue
		}
		now := time.Now().Unix()
		out = append(out, nomadish.SignedIdentity{
			JWT: nomadish.SecretText(fmt.Sprintf("%s/%s/%d", r.Task, r.Identity, s.count)), IssuedAt: now, Expires: now + int64(s.ttl.Seconds()),
		})
	}
	return out, nil
}

func (s *fakeSigner) set(change func(s *fakeSigner)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// identitySetup is that of a task with identities, whose directories are there.
func identitySetup(t testing.TB, ids ...*nomadish.WorkloadIdentity) *task.Setup {
	t.Helper()
	s := newSetup(t)
	s.Task.Identities = ids
	s.Spec.Env = map[string]string{}
	if err := (directories{}).Prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func readFile(t testing.TB, s *task.Setup, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.Root, "web", path))
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

// A task sees the identities that its job says, each where the job says, and no others.
func TestIdentitiesAreWhereTheJobSays(t *testing.T) {
	s := identitySetup(
		t,
		&nomadish.WorkloadIdentity{Name: "both", Env: true, File: true},
		&nomadish.WorkloadIdentity{Name: "a-b", Env: true},
		&nomadish.WorkloadIdentity{Name: "elsewhere", File: true, Filepath: "local/deep/token.jwt"},
		&nomadish.WorkloadIdentity{Name: "hidden"},
	)
	s.Task.Identity = &nomadish.WorkloadIdentity{Name: nomadish.DefaultIdentity, Env: true, File: true}
	h := newIdentities(&fakeSigner{}, time.Now)
	if err := h.Prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"NOMAD_TOKEN": "web/default/1", "NOMAD_TOKEN_both": "web/both/1", "NOMAD_TOKEN_a_b": "web/a-b/1"}
	if diff := cmp.Diff(s.Spec.Env, want); diff != "" {
		t.Errorf("environment (-got +want):\n%s", diff)
	}
	for path, want := range map[string]string{
		"secrets/nomad_token": "web/default/1", "secrets/nomad_both.jwt": "web/both/1", "local/deep/token.jwt": "web/elsewhere/1",
	} {
		if got := readFile(t, s, path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
		if info, err := os.Stat(filepath.Join(s.Root, "web", path)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", path, info.Mode(), err)
		}
	}
	files, err := filepath.Glob(filepath.Join(s.Root, "web", "secrets", "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("secrets: %v, %v; want 2 files", files, err)
	}
	if times := readFile(t, s, "private/identities.json"); strings.Contains(times, "web/") {
		t.Errorf("an identity is kept on disk: %s", times)
	}
}

// Who may read an identity's file depends on who knows the task's user.
func TestReadersOfIdentities(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, tt := range []struct {
		user      string
		isolation drivers.Isolation
		mode      os.FileMode
		uid       int
	}{
		{"", drivers.IsolationNone, 0o600, -1},
		{"nobody", drivers.IsolationNone, 0o600, 65534},
		{"", drivers.IsolationChroot, 0o600, 65534},
		{"", drivers.IsolationImage, 0o644, -1},
		{"1234:99", drivers.IsolationImage, 0o600, 1234},
		{"known-to-the-image", drivers.IsolationImage, 0o644, -1},
	} {
		s := newSetup(t)
		s.Task.User, s.Capabilities.Isolation = tt.user, tt.isolation
		if mode, uid, _ := readerOf(s); mode != tt.mode || uid != tt.uid {
			t.Errorf("user %q, isolation %v: mode %o, user %d; want %o, %d", tt.user, tt.isolation, mode, uid, tt.mode, tt.uid)
		}
	}
}

// An identity gets nowhere but into the task's directory, whatever the job or the task do.
func TestIdentityFilesStayInside(t *testing.T) {
	for _, path := range []string{"../alloc/x", "../../x", "private/x", "private", ".", "/../x", "local/../../x"} {
		s := identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", File: true, Filepath: path})
		err := newIdentities(&fakeSigner{}, time.Now).Prepare(t.Context(), s)
		var invalid *task.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v; want it refused", path, err)
		}
	}
	s := identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", File: true, Filepath: "local/link/x"})
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(s.Root, "web", "local", "link")); err != nil {
		t.Fatal(err)
	}
	err := newIdentities(&fakeSigner{}, time.Now).Prepare(t.Context(), s)
	if left, _ := os.ReadDir(outside); err == nil || len(left) != 0 {
		t.Errorf("through a link: %v, files %v; want it refused", err, left)
	}
	s = identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", File: true})
	target := filepath.Join(outside, "target")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(s.Root, "web", "secrets", "nomad_id.jwt"))); err != nil {
		t.Fatal(err)
	}
	if err := newIdentities(&fakeSigner{}, time.Now).Prepare(t.Context(), s); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(target); err != nil || len(content) != 0 {
		t.Errorf("the target of a link holds %q, %v", content, err)
	}
}

// Identities are renewed before half of their time is over, and the task is told as its job
// wants it.
func TestRenewal(t *testing.T) {
	for _, tt := range []struct {
		name    string
		id      nomadish.WorkloadIdentity
		told    []string
		content string
	}{
		{"nothing to do", nomadish.WorkloadIdentity{}, nil, "web/id/1"},
		{"noop", nomadish.WorkloadIdentity{TTL: time.Hour}, nil, "web/id/3"},
		{"signal", nomadish.WorkloadIdentity{TTL: time.Hour, ChangeMode: nomadish.ChangeModeSignal, ChangeSignal: "SIGHUP"}, []string{"SIGHUP", "SIGHUP"}, "web/id/3"},
		{"restart", nomadish.WorkloadIdentity{TTL: time.Hour, ChangeMode: nomadish.ChangeModeRestart}, []string{"restart"}, "web/id/2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.id.Name, tt.id.File = "id", true
				s := identitySetup(t, &tt.id)
				var told []string
				s.Signal = func(_ context.Context, signal, _ string) error { told = append(told, signal); return nil }
				s.Restart = func(string) { told = append(told, "restart") }
				h := newIdentities(&fakeSigner{ttl: tt.id.TTL}, time.Now)
				if err := h.Prepare(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				end := attend(t, h, s)
				time.Sleep(62 * time.Minute)
				synctest.Wait()
				end()
				if got := readFile(t, s, "secrets/nomad_id.jwt"); got != tt.content {
					t.Errorf("after 62 minutes the file holds %q, want %q", got, tt.content)
				}
				if diff := cmp.Diff(told, tt.told); diff != "" {
					t.Errorf("the task was told (-got +want):\n%s", diff)
				}
			})
		})
	}
}

// attend runs what a hook has to do for a running task, until end is called.
func attend(t testing.TB, h task.Attender, s *task.Setup) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Attend(ctx, s)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// While servers are away a running task keeps what it has, and gets a new identity when they
// are back; a task that starts again goes on with an identity that is still good.
func TestServersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", File: true, TTL: time.Hour})
		signer := &fakeSigner{ttl: time.Hour}
		h := newIdentities(signer, time.Now)
		if err := h.Prepare(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		signer.set(func(s *fakeSigner) { s.away = errors.New("no servers") })
		if err := h.Prepare(t.Context(), s); err != nil {
			t.Errorf("a second start: %v", err)
		}
		defer attend(t, h, s)()
		time.Sleep(50 * time.Minute)
		if got := readFile(t, s, "secrets/nomad_id.jwt"); got != "web/id/1" {
			t.Errorf("while servers are away the file holds %q", got)
		}
		signer.set(func(s *fakeSigner) { s.away = nil })
		time.Sleep(time.Minute)
		if got := readFile(t, s, "secrets/nomad_id.jwt"); got != "web/id/2" {
			t.Errorf("when they are back it holds %q", got)
		}
	})
}

// An agent that restarts renews no earlier than its predecessor would have.
func TestRenewalOutlivesTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", File: true, TTL: time.Hour})
		signer := &fakeSigner{ttl: time.Hour}
		if err := newIdentities(signer, time.Now).Prepare(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		next := newIdentities(signer, time.Now)
		if err := next.Restore(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		defer attend(t, next, s)()
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{15 * time.Minute, "web/id/1"}, {6 * time.Minute, "web/id/2"}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := readFile(t, s, "secrets/nomad_id.jwt"); got != step.want {
				t.Errorf("the file holds %q, want %q", got, step.want)
			}
		}
	})
}

// What the servers refuse to sign fails the start after some tries.
func TestRefusedIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := identitySetup(t, &nomadish.WorkloadIdentity{Name: "id", Env: true})
		err := newIdentities(&fakeSigner{refuses: "no such task"}, time.Now).Prepare(t.Context(), s)
		if !drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "no such task") {
			t.Errorf("got %v; want a recoverable error with the servers' words", err)
		}
		if len(s.Spec.Env) != 0 {
			t.Errorf("environment: %v", s.Spec.Env)
		}
	})
}
