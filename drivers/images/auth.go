//go:build linux

package images

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
)

// maxAuthFile bounds a config.json.
const maxAuthFile = 1 << 20

// hub is what Docker calls its registry where it keeps credentials.
const hub = "https://index.docker.io/v1/"

// credentials returns what finds user and password for a host; without a user the password
// is a token to be exchanged. The task's own go only to the registry that they are for, the
// node's are looked up for every host that asks, mirrors included, once for each.
func (s *Store) credentials(ctx context.Context, req Request) func(host string) (string, string, error) {
	type answer struct{ user, pass string }
	var mu sync.Mutex
	known := map[string]answer{}
	return func(host string) (string, string, error) {
		if req.Auth.given() && sameRegistry(host, cmp.Or(req.Auth.Server, registryOf(req.Ref))) {
			return req.Auth.Username, req.Auth.Password, nil
		}
		mu.Lock()
		a, ok := known[host]
		mu.Unlock()
		if ok {
			return a.user, a.pass, nil
		}
		user, pass, err := s.nodeCredentials(ctx, host)
		if err != nil {
			err = fmt.Errorf("%w for registry %s: %w", errCredentials, host, err)
			if !req.AuthSoftFail {
				return "", "", err
			}
			s.cfg.Logger.Warn("go on without credentials", "registry", host, "err", err)
		}
		mu.Lock()
		known[host] = answer{user, pass}
		mu.Unlock()
		return user, pass, nil
	}
}

// nodeCredentials looks in Docker's file, then asks the helper.
func (s *Store) nodeCredentials(ctx context.Context, host string) (user, pass string, err error) {
	if s.cfg.Auth != "" {
		file, err := readAuthFile(s.cfg.Auth)
		if err != nil {
			return "", "", fmt.Errorf("auth.config: %w", err)
		}
		user, pass, err = file.find(host, func(helper, server string) (string, string, error) {
			return s.askHelper(ctx, helper, server)
		})
		if err != nil || user != "" || pass != "" {
			return user, pass, err
		}
	}
	if s.cfg.Helper != "" {
		return s.askHelper(ctx, s.cfg.Helper, serverName(host))
	}
	return "", "", nil
}

// authFile is what we use of Docker's config.json.
type authFile struct {
	Auths       map[string]fileAuth `json:"auths"`
	CredHelpers map[string]string   `json:"credHelpers"`
	CredsStore  string              `json:"credsStore"`
}

type fileAuth struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// readAuthFile reads a config.json. It is read for each download: logins change it.
func readAuthFile(path string) (*authFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAuthFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxAuthFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxAuthFile)
	}
	return parseAuthFile(b)
}

// parseAuthFile never quotes what it reads in an error.
func parseAuthFile(b []byte) (*authFile, error) {
	var file authFile
	if err := json.Unmarshal(b, &file); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("no JSON at byte %d", syntax.Offset)
		}
		return nil, errors.New("not in the form of Docker's config.json")
	}
	return &file, nil
}

// find returns the credentials for a host, asking helpers where the file says so.
func (f *authFile) find(host string, ask func(helper, server string) (string, string, error)) (user, pass string, err error) {
	for _, server := range sortedKeys(f.CredHelpers) {
		if sameRegistry(host, server) {
			return ask(f.CredHelpers[server], server)
		}
	}
	if f.CredsStore != "" {
		user, pass, err := ask(f.CredsStore, serverName(host))
		if err != nil || user != "" || pass != "" {
			return user, pass, err
		}
	}
	for _, server := range sortedKeys(f.Auths) {
		if sameRegistry(host, server) {
			return f.Auths[server].pair(server)
		}
	}
	return "", "", nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (a fileAuth) pair(server string) (user, pass string, err error) {
	if a.IdentityToken != "" {
		return "", a.IdentityToken, nil
	}
	if a.Auth == "" {
		return a.Username, a.Password, nil
	}
	b, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return "", "", fmt.Errorf("the entry of %s is not in base64", server)
	}
	user, pass, ok := strings.Cut(string(b), ":")
	if !ok {
		return "", "", fmt.Errorf("the entry of %s is not of the form USER:PASSWORD", server)
	}
	return user, strings.TrimRight(pass, "\x00"), nil
}

// serverName is how credentials of a host are called where Docker keeps them.
func serverName(host string) string {
	if isHub(host) {
		return hub
	}
	return host
}

func isHub(host string) bool {
	return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io"
}

// sameRegistry says whether a host is the one that credentials are for.
func sameRegistry(host, server string) bool {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server, _, _ = strings.Cut(server, "/")
	if isHub(server) {
		return isHub(host)
	}
	if h, port, err := net.SplitHostPort(host); err == nil && port == "443" && !strings.Contains(server, ":") {
		host = h
	}
	return host == server
}
