//go:build linux

package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
)

var (
	// errArchive marks faults of an archive that stay however often it is read.
	errArchive = errors.New("load")
	// errCredentials marks credentials that could not be had.
	errCredentials = errors.New("credentials")
	// errIdle says that a registry has gone silent.
	errIdle = errors.New("pull_activity_timeout: nothing was received")
	// errUnwanted ends a download that nobody waits for any more.
	errUnwanted = errors.New("nobody waits for the image any more")
)

// fault is what kind of failure a download met.
type fault uint8

const (
	final   fault = iota // the same tomorrow
	unknown              // a new start may help
	passing              // a new attempt in a moment may help
)

// explain says in a user's words why there is no image, and whether trying again helps.
func explain(ctx context.Context, ref string, err error) error {
	if err == nil {
		return nil
	}
	host := registryOf(ref)
	kind, words := classify(host, err)
	switch {
	case ctx.Err() != nil:
		return drivers.Recoverable(fmt.Errorf("image %s: %w", ref, clean(errors.Join(context.Cause(ctx), err))))
	case words != "":
		err = fmt.Errorf("image %s: %s: %w", ref, words, clean(err))
	default:
		err = fmt.Errorf("image %s: %w", ref, clean(err))
	}
	if kind == final {
		return err
	}
	return drivers.Recoverable(err)
}

// classify says what to make of a failure, in words where the error's own are not enough.
func classify(host string, err error) (fault, string) {
	if err == nil {
		return unknown, ""
	}
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return classifyStatus(host, status.StatusCode)
	}
	var (
		unknownCA x509.UnknownAuthorityError
		badCert   *tls.CertificateVerificationError
		netErr    net.Error
	)
	switch {
	case errors.Is(err, errArchive), errors.Is(err, errCredentials), errors.Is(err, errUnpacked):
		return final, ""
	case errors.Is(err, errIdle):
		return unknown, ""
	case errors.Is(err, docker.ErrInvalidAuthorization), errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return final, denied(host)
	case strings.Contains(err.Error(), "no match for platform"):
		return final, "the image has no variant for this machine's platform"
	case errdefs.IsNotFound(err):
		return final, "not found: registry " + host + " has no such image or tag"
	case errors.As(err, &unknownCA), errors.As(err, &badCert):
		return final, "registry " + host + " has a certificate that this node does not trust: give its CA in the registry's hosts.toml or by registry_ca"
	case errors.Is(err, http.ErrSchemeMismatch), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return final, "registry " + host + " speaks plain HTTP: list it in plain_http if that is meant"
	case errors.Is(err, syscall.ENOSPC):
		return unknown, "no space left on this node"
	case errors.As(err, &netErr), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE), container.Down(err):
		return passing, ""
	}
	return unknown, ""
}

func classifyStatus(host string, code int) (fault, string) {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return final, denied(host)
	case code == http.StatusNotFound:
		return final, "not found: registry " + host + " has no such image or tag"
	case code == http.StatusTooManyRequests:
		return passing, "registry " + host + " limits how much it is asked: credentials usually raise the limit"
	case code >= 500, code == http.StatusRequestTimeout:
		return passing, "registry " + host + " has a fault of its own"
	}
	return final, "registry " + host + " refuses the request"
}

func denied(host string) string {
	return "registry " + host + " denies access: check the name, and the credentials in the task's auth block or the node's auth options"
}

// cleanError is an error whose text has been freed of secrets; its kinds stay visible.
type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

// query matches what follows a URL's path: registries redirect to stores of blobs with a
// signature there, and ask for tokens with scopes.
var query = regexp.MustCompile(`(https?://[^\s"'?]*)\?[^\s"']*`)

// userinfo matches credentials in a URL.
var userinfo = regexp.MustCompile(`(https?://)[^\s"'/@]*@`)

// clean takes out of an error's text what may be secret.
func clean(err error) error {
	text := userinfo.ReplaceAllString(query.ReplaceAllString(err.Error(), "$1"), "$1")
	if text == err.Error() {
		return err
	}
	return &cleanError{text: text, err: err}
}
