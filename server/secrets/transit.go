package secrets

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// TransitConfig says where a service is that speaks the protocol of Vault's transit engine.
type TransitConfig struct {
	Address   string // its URL; required
	Token     nomadish.SecretText
	Namespace string
	Mount     string // path of the engine; default transit
	KeyName   string // of the key in it; required
	Prefix    string // tells keys of the same name in different services apart
	KeepToken bool   // somebody else prolongs the token

	HTTP *http.Client  // default: one without limits of its own; requests are bounded by their contexts
	Wait time.Duration // time before a request is made a second time, doubled for each one; default 100ms
}

func (c TransitConfig) withDefaults() TransitConfig {
	c.Mount = strings.Trim(cmp.Or(c.Mount, "transit"), "/")
	c.HTTP = cmp.Or(c.HTTP, &http.Client{})
	c.Wait = cmp.Or(c.Wait, 100*time.Millisecond)
	return c
}

// Transit is a wrapping key that does not leave the service that has it.
type Transit struct {
	cfg  TransitConfig
	base *url.URL
	http http.Client
}

var _ Wrapper = (*Transit)(nil)

const (
	transitTries  = 4        // requests that are made before one is given up
	transitAnswer = 64 << 10 // most bytes of an answer
)

// NewTransit returns a wrapping key of a service. It makes no request.
func NewTransit(cfg TransitConfig) (*Transit, error) {
	cfg = cfg.withDefaults()
	var errs []error
	base, err := url.Parse(cfg.Address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		errs = append(errs, fmt.Errorf("address: %q is not the URL of a service", cfg.Address))
	}
	if cfg.KeyName == "" || strings.Contains(cfg.KeyName, "/") {
		errs = append(errs, fmt.Errorf("key_name: %q is not the name of a key", cfg.KeyName))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("keyring transit: %w", err)
	}
	t := &Transit{cfg: cfg, base: base, http: *cfg.HTTP}
	t.http.CheckRedirect = func(next *http.Request, before []*http.Request) error {
		if len(before) > 2 || base.Scheme == "https" && next.URL.Scheme != "https" {
			return http.ErrUseLastResponse // the token is not carried there
		}
		return nil
	}
	return t, nil
}

// Name implements Wrapper.
func (t *Transit) Name() string { return "transit:" + t.cfg.Prefix + t.cfg.Mount + "/" + t.cfg.KeyName }

// Wrap implements Wrapper.
func (t *Transit) Wrap(ctx context.Context, plain []byte) ([]byte, error) {
	answer, err := t.ask(ctx, "encrypt", map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	if err != nil {
		return nil, err
	}
	if answer.Data.Ciphertext == "" {
		return nil, fmt.Errorf("transit %s: the answer has no ciphertext", t.base.Host)
	}
	return []byte(answer.Data.Ciphertext), nil
}

// Unwrap implements Wrapper.
func (t *Transit) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	answer, err := t.ask(ctx, "decrypt", map[string]string{"ciphertext": string(wrapped)})
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(answer.Data.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, fmt.Errorf("transit %s: the answer has no plaintext in base64", t.base.Host)
	}
	return plain, nil
}

// Renew prolongs the token.
func (t *Transit) Renew(ctx context.Context) error {
	if t.cfg.KeepToken {
		return nil
	}
	_, err := t.post(ctx, t.base.JoinPath("v1", "auth", "token", "renew-self"), []byte("{}"))
	return err
}

// transitResponse is what we read of an answer.
type transitResponse struct {
	Data struct {
		Ciphertext string `json:"ciphertext"`
		Plaintext  string `json:"plaintext"`
	} `json:"data"`
	Errors []string `json:"errors"`
}

// ask makes a request until it is answered, a few times.
func (t *Transit) ask(ctx context.Context, verb string, in map[string]string) (*transitResponse, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	target := t.base.JoinPath("v1", t.cfg.Mount, verb, t.cfg.KeyName)
	wait := t.cfg.Wait
	for try := 1; ; try++ {
		answer, err := t.post(ctx, target, body)
		var refused *refusedError
		if err == nil || try == transitTries || errors.As(err, &refused) && !refused.passing() {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// refusedError is an answer that is no success.
type refusedError struct {
	host   string
	status int
	says   []string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("transit %s: answered %d: %s", e.host, e.status, cmp.Or(strings.Join(e.says, "; "), http.StatusText(e.status)))
}

// passing says whether the same request may be answered later.
func (e *refusedError) passing() bool {
	return e.status == http.StatusTooManyRequests || e.status >= 500
}

func (t *Transit) post(ctx context.Context, target *url.URL, body []byte) (*transitResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("X-Vault-Token", t.cfg.Token.Reveal())
	if t.cfg.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", t.cfg.Namespace)
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("transit: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, transitAnswer))
	if err != nil {
		return nil, fmt.Errorf("transit %s: %w", t.base.Host, err)
	}
	defer clear(text)
	answer := &transitResponse{}
	err = json.Unmarshal(text, answer)
	if resp.StatusCode != http.StatusOK {
		return nil, &refusedError{host: t.base.Host, status: resp.StatusCode, says: answer.Errors}
	}
	if err != nil {
		return nil, fmt.Errorf("transit %s: answer: %w", t.base.Host, err)
	}
	return answer, nil
}
