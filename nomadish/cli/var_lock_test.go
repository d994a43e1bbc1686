//go:build unix

package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// lockServer answers as a server does where the lock of a variable is free; renewals it
// answers with a status.
func lockServer(t *testing.T, ttl string, renewed int) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("lock-renew") {
			w.WriteHeader(renewed)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"Namespace": "default", "Path": "leader", "ModifyIndex": 7,
			"Lock": map[string]any{"ID": "id", "TTL": ttl, "LockDelay": "15s", "Fence": 7},
		})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// When the lock is lost, or can't be renewed for as long as it lasts, the command is told to end.
func TestVarLockLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		flags  []string
		want   string
	}{
		{"taken away", http.StatusConflict, nil, "held by somebody else"},
		{"no right any more", http.StatusForbidden, nil, "403"},
		{"no server", http.StatusServiceUnavailable, []string{"-max-retry", "1000"}, "could not be renewed in time"},
		{"no patience", http.StatusServiceUnavailable, []string{"-max-retry", "0"}, "could not be renewed in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := []string{"NOMAD_ADDR=" + lockServer(t, "200ms", tt.status)}
			args := append([]string{"var", "lock"}, tt.flags...)
			got := runs(t, "", env, append(args, "leader", `trap "echo told; exit 0" TERM; while :; do sleep 0.01; done`)...)
			if got.code != ExitFailed || got.stdout != "told\n" || !strings.Contains(got.stderr, "is lost") || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("got %+v; want the command told to end, and %q", got, tt.want)
			}
		})
	}
}

// Signals reach the command and what its shell has started, and how it ends is how this ends.
func TestVarLockSignals(t *testing.T) {
	env := []string{"NOMAD_ADDR=" + lockServer(t, "15s", http.StatusOK)}
	for _, tt := range []struct {
		name, script string
		code         int
	}{
		{"handled", `trap "exit 9" USR1; kill -USR1 $PPID; while :; do sleep 0.01; done`, 9},
		{"not handled", `kill -USR2 $PPID; sleep 100`, 128 + 12},
		{"of a child", `trap : USR1; (trap "exit 9" USR1; kill -USR1 $PPID; while :; do sleep 0.01; done) & wait $!; wait $!; exit $?`, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := strings.ReplaceAll(tt.script, "$PPID", "$PARENT")
			if got := runs(t, "", env, "var", "lock", "leader", "PARENT=$PPID; "+script); got.code != tt.code {
				t.Errorf("got %+v, want code %d", got, tt.code)
			}
		})
	}
}
