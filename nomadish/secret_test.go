package nomadish_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// However a secret is printed or logged, alone or within something else, its text does not
// show; what the API sends does carry it.
func TestSecretIsNotPrinted(t *testing.T) {
	const text = "s3cr3t"
	holder := struct {
		Plain nomadish.Secret
		In    map[string]nomadish.Secret
		Of    []*nomadish.Secret
		Any   any
	}{Plain: text, In: map[string]nomadish.Secret{"k": text}, Any: nomadish.Secret(text)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10.3s"} {
		for _, v := range []any{nomadish.Secret(text), holder, &holder, []nomadish.Secret{text}} {
			args := []any{v}
			if strings.Count(verb, "%") == 2 {
				args = append(args, v)
			}
			if got := fmt.Sprintf(verb, args...); strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", text)) {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	if err := fmt.Errorf("token %w %s", errors.New("bad"), nomadish.Secret(text)); strings.Contains(err.Error(), text) {
		t.Errorf("error: %v", err)
	}
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("x", "secret", nomadish.Secret(text))
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "holder", holder)
	if strings.Contains(b.String(), text) {
		t.Errorf("logged: %s", b.String())
	}
	if got, err := json.Marshal(nomadish.Secret(text)); err != nil || string(got) != `"s3cr3t"` {
		t.Errorf("JSON: %s, %v", got, err)
	}
	if got := nomadish.Secret("").String(); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}
