package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// How many joins a server takes: a second on average, and at once.
const (
	joinsPerSecond = 20
	joinsAtOnce    = 40
)

// joins answers those who want to join the cluster and have no certificate yet.
type joins struct {
	*Agent
	limit *rate.Limiter
}

// newJoins returns what answers who joins; nil on an agent that can't let anybody in.
func (a *Agent) newJoins() http.Handler {
	if a.cfg.Server == nil || a.cfg.PeerTLS == nil || !a.cfg.PeerTLS.Managed {
		return nil
	}
	return &joins{a, rate.NewLimiter(joinsPerSecond, joinsAtOnce)}
}

// ServeHTTP takes one request: PUT /join.
func (j *joins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := j.join(r)
	status := http.StatusOK
	var body any = resp
	if err != nil {
		kind := nomadish.KindOf(err)
		status = map[nomadish.Kind]int{
			nomadish.KindInvalid: http.StatusBadRequest, nomadish.KindDenied: http.StatusForbidden,
			nomadish.KindLimited: http.StatusTooManyRequests, nomadish.KindNoLeader: http.StatusServiceUnavailable,
			nomadish.KindNotFound: http.StatusNotFound,
		}[kind]
		if status == 0 {
			status = http.StatusInternalServerError
			j.cfg.Logger.Warn("somebody could not join", "addr", r.RemoteAddr, "err", err)
		}
		body = transport.JoinRefusal{Error: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		j.cfg.Logger.Debug("answer who joins", "err", err)
	}
}

func (j *joins) join(r *http.Request) (*nomadish.EnrollResponse, error) {
	if r.Method != http.MethodPut || r.URL.Path != transport.JoinPath {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "nothing but %s is answered here", transport.JoinPath)
	}
	if !j.limit.Allow() {
		return nil, nomadish.Errorf(nomadish.KindLimited, "more than %d agents a second want to join: try again in a moment", joinsPerSecond)
	}
	req, err := certificate.DecodeJoin(r.Body)
	if err != nil {
		return nil, err
	}
	req.Addr = r.RemoteAddr
	resp, err := j.peer.Authorities().Join(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return resp, j.complete(r.Context(), resp, req.Role)
}

// complete adds what this server knows and the state does not.
func (j *joins) complete(ctx context.Context, resp *nomadish.EnrollResponse, role string) error {
	resp.Datacenter, resp.ACL = j.cfg.Datacenter, j.cfg.ACL
	resp.Servers = j.knownServers()
	if role != string(certificate.Server) {
		return nil
	}
	if err := j.gossips(ctx, resp); err != nil {
		return err
	}
	key, err := os.ReadFile(wrappingKey(j.cfg.DataDir))
	switch {
	case err == nil:
		resp.WrappingKey = nomadish.SecretText(strings.TrimSpace(string(key)))
	case !errors.Is(err, fs.ErrNotExist): // another wrapper is configured, which the new server needs as well
		return fmt.Errorf("wrapping key: %w", err)
	}
	return nil
}

// gossips adds how a new server finds the others.
func (j *joins) gossips(ctx context.Context, resp *nomadish.EnrollResponse) error {
	if j.pool == nil {
		return nil
	}
	for _, m := range j.pool.Members() {
		if m.Region == j.cfg.Region && m.Status == "alive" {
			resp.Gossip = append(resp.Gossip, net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port))))
		}
	}
	if !j.pool.Encrypted() {
		return nil
	}
	keys, err := j.pool.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("keys of gossip: %w", err)
	}
	most := 0
	for key, members := range keys.Primary {
		if members > most {
			most, resp.GossipKey = members, nomadish.SecretText(key)
		}
	}
	return nil
}

// wrappingKey is the file with the key that wraps the root keys.
func wrappingKey(dataDir string) string {
	return filepath.Join(dataDir, "server", "keyring", "wrap.key")
}

// knownServers are the addresses of this region's servers for other agents, this one first.
func (a *Agent) knownServers() []string {
	addrs := []string{a.rpcAddress()}
	if a.pool == nil {
		return addrs
	}
	for _, m := range a.pool.Members() {
		if m.Region == a.cfg.Region && m.ID != a.id && m.RPC != "" && m.Status == "alive" {
			addrs = append(addrs, m.RPC)
		}
	}
	return addrs
}
