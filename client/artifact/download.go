package artifact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	maxRedirects  = 10
	progressEvery = time.Second
	maxHeader     = 64 << 10
)

// redirected marks the context of a request that another server sent us to.
type redirected struct{}

// newTransport returns one that opens a connection for every request, so that the addresses
// of all of them are looked at.
func newTransport(insecure bool) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 15 * time.Second, ControlContext: checkAddress}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: insecure}, //nolint:gosec // only if the job asks for it
		ResponseHeaderTimeout:  time.Minute,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
}

// errLinkLocal refuses what only a redirect led to.
var errLinkLocal = errors.New("a redirect leads to an address of this machine or its link, which is not allowed")

// checkAddress refuses redirects to where only this machine can get: its own services, and
// those that clouds offer on the link.
func checkAddress(ctx context.Context, _, addr string, _ syscall.RawConn) error {
	if from, ok := ctx.Value(redirected{}).(string); !ok || local(from) {
		return nil
	}
	if host, _, err := net.SplitHostPort(addr); err != nil || local(host) {
		return errLinkLocal
	}
	return nil
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified())
}

// download writes the source's content to a file and checks it. It tries again when an
// error may pass.
func (f *Fetcher) download(ctx context.Context, req *Request, src *source, file *os.File) error {
	wait := f.cfg.RetryWait
	for try := 0; ; try++ {
		err := f.attempt(ctx, req, src, file)
		var passing *passingError
		if err == nil || !errors.As(err, &passing) || try >= f.cfg.Retries {
			return err
		}
		if lifecycle.Sleep(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

func (f *Fetcher) attempt(ctx context.Context, req *Request, src *source, file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	resp, err := f.open(ctx, req, src)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if f.cfg.MaxSize > 0 && resp.ContentLength > f.cfg.MaxSize {
		return f.errTooLarge()
	}
	var sum hash.Hash
	in := &meter{r: resp.Body, total: max(resp.ContentLength, 0), report: req.Progress}
	var r io.Reader = in
	if src.checksum != nil {
		sum = src.checksum.make()
		r = io.TeeReader(in, sum)
	}
	if f.cfg.MaxSize > 0 {
		r = io.LimitReader(r, f.cfg.MaxSize+1)
	}
	n, err := io.Copy(file, r)
	switch {
	case in.failed != nil:
		return &passingError{fmt.Errorf("download: %w", bare(in.failed))}
	case err != nil:
		return err
	case f.cfg.MaxSize > 0 && n > f.cfg.MaxSize:
		return f.errTooLarge()
	case sum != nil && string(sum.Sum(nil)) != string(src.checksum.want):
		return src.checksum.mismatch(sum.Sum(nil))
	}
	in.tell(true)
	return nil
}

func (f *Fetcher) errTooLarge() error {
	return fmt.Errorf("it is larger than %d bytes (client.artifact.http_max_size)", f.cfg.MaxSize)
}

// open asks for the source and follows redirects. What the job wrote for its host goes to
// no other.
func (f *Fetcher) open(ctx context.Context, req *Request, src *source) (*http.Response, error) {
	rt := f.plain
	if req.Insecure {
		rt = f.loose
	}
	at := src.url
	for range maxRedirects + 1 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
		if err != nil {
			return nil, errors.New("its address is not valid")
		}
		r.Header.Set("User-Agent", "nomadish")
		if at.Scheme == src.url.Scheme && at.Host == src.url.Host {
			authenticate(r, req.Headers, src.url.User)
		} else if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy == nil { // a proxy has rules of its own
			r = r.WithContext(context.WithValue(ctx, redirected{}, src.url.Hostname()))
		}
		resp, err := rt.RoundTrip(r)
		if err != nil {
			if errors.Is(err, errLinkLocal) {
				return nil, errLinkLocal
			}
			return nil, connectError(err)
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		_ = resp.Body.Close() // nothing of it is wanted
		next := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || next == "" {
			return nil, statusError(resp.StatusCode, src.url.User != nil || len(req.Headers) > 0)
		}
		if at, err = at.Parse(next); err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
			return nil, errors.New("a redirect leads to no address of http or https")
		}
		at.User = nil
	}
	return nil, fmt.Errorf("more than %d redirects", maxRedirects)
}

// authenticate gives a request what the job wrote for its host.
func authenticate(r *http.Request, headers map[string]string, user *url.Userinfo) {
	r.URL.User = nil
	if user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
	for name, value := range headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
}

// statusError is an answer that is no success, and what to do about it. Those that a server may
// take back are worth another try. known says that the job has something to say who it is.
func statusError(status int, known bool) error {
	err := fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return &passingError{err}
	}
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return fmt.Errorf("%w: correct the artifact's source, or publish the file there", err)
	case status != http.StatusUnauthorized && status != http.StatusForbidden:
		return err
	case known:
		return fmt.Errorf("%w: renew what the artifact's headers and source say to be let in with, or ask the server's owner for the right to read it", err)
	}
	return fmt.Errorf("%w: put what it wants to be let in with into the artifact's headers, or renew a signed source that has expired", err)
}

// connectError is why there is no answer. It may pass.
func connectError(err error) error {
	err = bare(err)
	var stranger x509.UnknownAuthorityError
	if errors.As(err, &stranger) {
		err = fmt.Errorf("%w: have the node trust who signed the server's certificate, or set insecure in the artifact", err)
	}
	return &passingError{err}
}

// bare takes the address out of an error: its query may be secret.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// meter counts what is read, and keeps the source's error apart from the file's.
type meter struct {
	r      io.Reader
	done   int64
	total  int64
	report func(done, total int64)
	told   time.Time
	failed error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		m.failed = err
	}
	m.tell(false)
	return n, err
}

func (m *meter) tell(last bool) {
	if m.report == nil || !last && time.Since(m.told) < progressEvery {
		return
	}
	m.told = time.Now()
	m.report(m.done, m.total)
}
