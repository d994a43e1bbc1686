package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish/nodesim"
)

// A fleet tells in lines how it goes, ends by itself after its time, and goes on without servers.
func TestSim(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		args := []string{"sim", "-nodes", "3", "-servers", "127.0.0.1:1", "-pace", "1000", "-for", "150ms", "-interval", "50ms"}
		if asJSON {
			args = append(args, "-json")
		}
		got := runs(t, "", nil, args...)
		if got.code != ExitOK {
			t.Fatalf("code %d: %s", got.code, got.stderr)
		}
		lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
		last := lines[len(lines)-1]
		if !asJSON {
			if !strings.Contains(last, "online 0/3") || !strings.Contains(last, "errors ") {
				t.Errorf("it says %q", last)
			}
			continue
		}
		var f nodesim.Figures
		if err := json.Unmarshal([]byte(last), &f); err != nil || f.Nodes != 3 || f.Online != 0 || f.Errors == 0 || f.LastError == "" {
			t.Errorf("it says %q (%v)", last, err)
		}
	}
}

// What can't work is refused before anything is started.
func TestSimRefuses(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"-interval 0s", ExitUsage, "-interval"},
		{"-fail 2", ExitFailed, "fail: 2"},
		{"-nodes 1000000", ExitFailed, "nodes: 1000000"},
		{"-node-cert x.pem", ExitFailed, "ca_file"},
	} {
		got := runs(t, "", nil, append([]string{"sim"}, strings.Fields(tt.args)...)...)
		if got.code != tt.code || !strings.Contains(got.stderr, tt.says) {
			t.Errorf("%s: code %d, %q, want %d and a word of %q", tt.args, got.code, got.stderr, tt.code, tt.says)
		}
	}
}
