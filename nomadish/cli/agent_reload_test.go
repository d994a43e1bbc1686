package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
)

// TestReload: a reload gives effect to the level of the log and to certificates, and says what
// needs a restart; where something is wrong, nothing changes. Flags still win over files.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.hcl")
	flags := &agentFlags{configs: many{path}}
	says := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says(`log_level = "warn" client { enabled = true }`)
	file, _, err := flags.read()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger, level, err := newLogger(&log, "warn", false)
	if err != nil {
		t.Fatal(err)
	}
	certs, token := error(nil), nomadish.SecretText("")
	r := &reloader{flags: flags, file: *file, level: level, logger: logger, certs: func() error { return certs }, token: func(to nomadish.SecretText) { token = to }}
	for _, tt := range []struct {
		name, text string
		certs      error
		flag       string // -log-level
		level      slog.Level
		err, log   string
	}{
		{"another level", `log_level = "debug" client { enabled = true }`, nil, "", slog.LevelDebug, "", "configuration reloaded"},
		{"a file that can't be read", `log_level = "warn" client {`, nil, "", slog.LevelDebug, "a }", ""},
		{"no level", `log_level = "loud"`, nil, "", slog.LevelDebug, "loud", ""},
		{"bad certificates", `log_level = "warn" client { enabled = true }`, errors.New("no PEM"), "", slog.LevelDebug, "certificates: no PEM", ""},
		{"what needs a restart", `log_level = "info" region = "x" client { enabled = false }`, nil, "", slog.LevelInfo, "", `keys="client, region"`},
		{"a flag", `log_level = "info"`, nil, "error", slog.LevelError, "", ""},
	} {
		log.Reset()
		says(tt.text)
		certs, flags.logLevel = tt.certs, tt.flag
		err := r.reload()
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
		if level.Level() != tt.level || !strings.Contains(log.String(), tt.log) {
			t.Errorf("%s: level %s, said %q; want %s, %q", tt.name, level.Level(), log.String(), tt.level, tt.log)
		}
	}
	for _, want := range []nomadish.SecretText{"first", "second"} {
		log.Reset()
		says(`log_level = "info" acl { replication_token = "` + want.Reveal() + `" }`)
		r.file.ACL = &agent.ACLFile{}
		if err := r.reload(); err != nil || token != want || strings.Contains(log.String(), "acl") || strings.Contains(log.String(), want.Reveal()) {
			t.Errorf("token %s, %v, said %s; want %s without a word", token.Reveal(), err, log.String(), want.Reveal())
		}
	}
}
