package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/pki"
	"github.com/nomadish/nomadish/server/secrets"
)

// checkOwn makes sure that a managed agent's certificate is for this very agent. A server whose
// certificate has ended, or that has got another ID since, gives itself a new one.
func (a *Agent) checkOwn() error {
	if a.cfg.PeerTLS == nil || !a.cfg.PeerTLS.Managed || a.cfg.Server == nil {
		return nil
	}
	files := Certificates(a.cfg.DataDir)
	pair, err := tls.LoadX509KeyPair(files.Agent(), files.Agent())
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	own, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	names, err := certificate.ParseNames(own)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	who := certificate.Identity{Role: certificate.Server, Region: a.cfg.Region, ID: a.id}
	mine := names.Check(who)
	ended := !a.cfg.Now().Before(own.NotAfter)
	if mine == nil && !ended {
		return nil
	}
	err = a.selfIssue(files, who)
	switch {
	case err == nil:
		a.cfg.Logger.Warn("this server has given itself a certificate", "id", a.id, "former_ended", own.NotAfter.UTC().Format(time.RFC3339))
	case mine != nil:
		return fmt.Errorf("tls: %w, and this agent is %s: give it a certificate with \"nomadish join\" (%w)", mine, who.URI(), err)
	default:
		a.cfg.Logger.Error("this server's certificate has ended, and other agents refuse it: get a new one with \"nomadish join\"",
			"ended", own.NotAfter.UTC().Format(time.RFC3339), "err", err)
	}
	return nil
}

// selfIssue gives this server a certificate of the authority that it keeps.
func (a *Agent) selfIssue(files certificate.Files, who certificate.Identity) error {
	text, err := files.Kept()
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the server has not got the authority's key")
	}
	if err != nil {
		return err
	}
	var wrappers []pki.Wrapper
	for _, w := range append([]secrets.Wrapper{nil}, a.cfg.Server.Keyring.Wrappers...) {
		if w == nil {
			w = secrets.NewFile(wrappingKey(a.cfg.DataDir))
		}
		wrappers = append(wrappers, w)
	}
	ctx, cancel := context.WithTimeout(context.Background(), selfIssueTime)
	defer cancel()
	authority, err := pki.Kept(ctx, text, wrappers)
	if err != nil {
		return err
	}
	key, err := certificate.NewKey()
	if err != nil {
		return err
	}
	order := certificate.Order{Identity: who, Key: key.Public(), TTL: selfIssueTTL, Now: a.cfg.Now()}
	order.Hosts, order.IPs = hostNames(a.cfg.Name, []string{a.cfg.Advertise, a.cfg.AdvertiseRPC})
	own, err := authority.Issue(order)
	if err != nil {
		return err
	}
	return files.WriteAgent(key, own, authority.Certificate)
}

// Of a server that gives itself a certificate: how long a key management service may take, and how long the
// certificate is good. The leader signs the next one.
const (
	selfIssueTime = 10 * time.Second
	selfIssueTTL  = 24 * time.Hour
)
