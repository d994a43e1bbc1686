//go:build linux

package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a credential helper.
const (
	helperTime   = 30 * time.Second
	helperOutput = 64 << 10
	helperPrefix = "docker-credential-"
)

// helperName has no way to leave the directories of programs or to be read as an option.
var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkHelper(name string) error {
	if !helperName.MatchString(name) {
		return fmt.Errorf("%q is not the name of a credential helper: letters, digits, dots, dashes and underscores", name)
	}
	return nil
}

// helperEnv are the variables that a helper sees, those with a star by prefix: where
// programs are and what clouds' libraries read. Nothing else of the agent's is its business.
var helperEnv = []string{
	"PATH", "HOME", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_*", "GOOGLE_*", "CLOUDSDK_*", "AZURE_*",
}

// askHelper runs docker-credential-NAME for a server. No credentials are no error. What the
// helper prints stays out of errors: it may be a secret.
func (s *Store) askHelper(ctx context.Context, name, server string) (user, pass string, err error) {
	if err := checkHelper(name); err != nil {
		return "", "", err
	}
	program, err := s.findHelper(helperPrefix + name)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperTime, fmt.Errorf("%s did not answer within %s", helperPrefix+name, helperTime))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := &boundedBuffer{left: helperOutput, full: func() {
		end(fmt.Errorf("%s says more than %d bytes", helperPrefix+name, helperOutput))
	}}
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.Dir = "/"
	cmd.Env = cleanEnv(os.Environ())
	cmd.Stdin = strings.NewReader(server)
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		switch {
		case ctx.Err() != nil:
			return "", "", context.Cause(ctx)
		case strings.Contains(out.kept.String(), "credentials not found"):
			return "", "", nil
		}
		return "", "", fmt.Errorf("%s%s: %w: run it by hand with the server's name on its input to see why", helperPrefix, name, err)
	}
	return parseHelper(name, out.kept.Bytes())
}

// parseHelper reads what a helper printed.
func parseHelper(name string, b []byte) (user, pass string, err error) {
	var found struct{ Username, Secret string }
	if json.Unmarshal(b, &found) != nil {
		return "", "", fmt.Errorf("%s%s: what it says is no JSON with Username and Secret", helperPrefix, name)
	}
	if found.Username == "<token>" { // the helpers' way to say so
		found.Username = ""
	}
	return found.Username, found.Secret, nil
}

func (s *Store) findHelper(program string) (string, error) {
	if s.cfg.HelperPath == "" {
		return exec.LookPath(program)
	}
	for _, dir := range filepath.SplitList(s.cfg.HelperPath) {
		if path := filepath.Join(dir, program); unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: not found in %s", program, s.cfg.HelperPath)
}

func cleanEnv(environ []string) []string {
	var out []string
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		for _, allowed := range helperEnv {
			prefix, star := strings.CutSuffix(allowed, "*")
			if name == allowed || star && strings.HasPrefix(name, prefix) {
				out = append(out, line)
				break
			}
		}
	}
	return out
}

// boundedBuffer calls full when more is written than was left. The buffer is no embedded
// one: its ReadFrom would go past Write.
type boundedBuffer struct {
	kept bytes.Buffer
	left int
	full func()
}

// Write keeps b.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.full()
		return 0, errors.New("too much output")
	}
	return b.kept.Write(p)
}
