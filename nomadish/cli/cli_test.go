package cli

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// result is what a run of the program gave.
type result struct {
	code           int
	stdout, stderr string
}

// runs runs the program with arguments, and with an environment of NAME=value.
func runs(t *testing.T, stdin string, env []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), Program{
		Version: "1.2.3", Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Environ: env,
		Env: lookup(env),
	}, args)
	return result{code, stdout.String(), stderr.String()}
}

// lookup reads an environment of NAME=value.
func lookup(env []string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range env {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// TestEveryCommandHelps: -help of each command goes to standard output, ends with 0, and
// shows an example and the exit codes; a command that shows something knows -json and -t.
func TestEveryCommandHelps(t *testing.T) {
	for _, cmd := range commands() {
		t.Run(cmd.words, func(t *testing.T) {
			got := runs(t, "", nil, append(strings.Fields(cmd.words), "-help")...)
			if got.code != ExitOK || got.stderr != "" {
				t.Fatalf("got code %d, stderr %q, want 0 and none", got.code, got.stderr)
			}
			wanted := []string{"Usage: nomadish " + cmd.words, cmd.summary, "\nExample:\n  ", "\nExit codes:\n  0 ", "\n  64  "}
			if cmd.reads {
				wanted = append(wanted, "\n  -json\n", "\n  -t template\n")
			}
			for _, want := range wanted {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("the help lacks %q:\n%s", want, got.stdout)
				}
			}
			flags, err := flagsOf(cmd)
			if err != nil {
				t.Fatal(err)
			}
			if f := flags.Lookup("json"); f != nil && strings.HasPrefix(f.Usage, "print JSON") && !cmd.reads {
				t.Error("the command prints JSON, and its line of the table does not say that it reads")
			}
		})
	}
}

// TestCommandLine: words, flags in either form mixed with arguments, and what is wrong with
// a command line.
func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts
	}{
		{name: "nothing", code: ExitOK, stdout: "job status"},
		{name: "overview", args: []string{"-help"}, code: ExitOK, stdout: "alloc logs"},
		{name: "words alone", args: []string{"job"}, code: ExitUsage, stderr: "job inspect"},
		{name: "help of words", args: []string{"job", "-h"}, code: ExitOK, stdout: "job inspect"},
		{name: "unknown", args: []string{"frobnicate"}, code: ExitUsage, stderr: `unknown command "frobnicate"`},
		{name: "misspelt", args: []string{"job", "stauts"}, code: ExitUsage, stderr: `did you mean "job status"?`},
		{name: "version", args: []string{"--version"}, code: ExitOK, stdout: "nomadish 1.2.3\n"},
		{name: "two dashes", args: []string{"version", "--json"}, code: ExitOK, stdout: `"Version": "1.2.3"`},
		{name: "template", args: []string{"version", "-t", "v{{.Version}}"}, code: ExitOK, stdout: "v1.2.3\n"},
		{name: "wrong template", args: []string{"version", "-t", "{{.Nope"}, code: ExitUsage, stderr: "-t:1"},
		{name: "json and template", args: []string{"version", "-json", "-t", "x"}, code: ExitUsage, stderr: "exclude each other"},
		{name: "unknown flag", args: []string{"version", "-nope"}, code: ExitUsage, stderr: "version has no flag -nope"},
		{name: "misspelt flag", args: []string{"version", "-jsno"}, code: ExitUsage, stderr: "did you mean -json?"},
		{name: "too many arguments", args: []string{"version", "now"}, code: ExitUsage, stderr: "takes no arguments, got 1"},
		{name: "too few arguments", args: []string{"job", "run", "-detach"}, code: ExitUsage, stderr: "takes 1 argument, got 0"},
		{name: "flag behind the argument", args: []string{"job", "run", "x.hcl", "-check-index", "a"}, code: ExitFailed, stderr: "x.hcl"},
		{name: "dashes behind --", args: []string{"job", "run", "--", "-x.hcl"}, code: ExitFailed, stderr: "open -x.hcl"},
		{name: "no server", args: []string{"status", "-address", "127.0.0.1:1"}, code: ExitFailed, stderr: "nomadish agent -dev"},
		{name: "wrong address", args: []string{"status", "-address", "ftp://x"}, code: ExitFailed, stderr: "http"},
		{name: "short prefix", args: []string{"eval", "status", "-address", "127.0.0.1:1", "x"}, code: ExitFailed, stderr: "hexadecimal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runs(t, "", nil, tt.args...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got code %d, stdout %q, stderr %q; want %d, %q, %q", got.code, got.stdout, got.stderr, tt.code, tt.stdout, tt.stderr)
			}
			if tt.code != ExitOK && got.stdout != "" {
				t.Errorf("a failed command wrote to standard output: %q", got.stdout)
			}
		})
	}
}

// TestWhatToDoNext: who is denied, or does not trust the server, is told what to do.
func TestWhatToDoNext(t *testing.T) {
	denies := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, nomadish.ErrDenied.Message, http.StatusForbidden)
	})
	open, encrypted := httptest.NewServer(denies), httptest.NewUnstartedServer(denies)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	defer open.Close()
	defer encrypted.Close()
	for address, want := range map[string]string{open.URL: "auth can-i", encrypted.URL: "NOMAD_CACERT"} {
		if got := runs(t, "", nil, "status", "-address", address); got.code != ExitFailed || !strings.Contains(got.stderr, want) {
			t.Errorf("got code %d, %q, want %q in it", got.code, got.stderr, want)
		}
	}
}

// TestTokensStaySecret: no message shows a token, nor the password in an address.
func TestTokensStaySecret(t *testing.T) {
	got := runs(t, "", []string{"NOMAD_TOKEN=s3cret", "NOMAD_ADDR=http://me:s3cret@127.0.0.1:1"}, "status")
	if got.code != ExitFailed || strings.Contains(got.stderr+got.stdout, "s3cret") {
		t.Errorf("got %+v, want a failure without the secret", got)
	}
}

func TestDidYouMean(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"wbe", `: did you mean "web"?`}, {"cache-frontent", `: did you mean "cache-frontend"?`}, {"zzzzzz", ""},
	} {
		if got := didYouMean(tt.word, []string{"web", "cache-frontend", "db"}); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0s"}, {1500 * time.Millisecond, "1s"}, {61 * time.Second, "1m1s"}, {25*time.Hour + time.Minute, "1d1h"}, {90 * time.Minute, "1h30m"},
	} {
		if got := age(tt.d); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.d, got, tt.want)
		}
	}
}
