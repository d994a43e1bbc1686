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
func TestSecretTextIsNotPrinted(t *testing.T) {
	const text = "s3cr3t"
	holder := struct {
		Plain nomadish.SecretText
		In    map[string]nomadish.SecretText
		Of    []*nomadish.SecretText
		Any   any
	}{Plain: text, In: map[string]nomadish.SecretText{"k": text}, Any: nomadish.SecretText(text)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10.3s"} {
		for _, v := range []any{nomadish.SecretText(text), holder, &holder, []nomadish.SecretText{text}} {
			args := []any{v}
			if strings.Count(verb, "%") == 2 {
				args = append(args, v)
			}
			if got := fmt.Sprintf(verb, args...); strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", text)) {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	if err := fmt.Errorf("token %w %s", errors.New("bad"), nomadish.SecretText(text)); strings.Contains(err.Error(), text) {
		t.Errorf("error: %v", err)
	}
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("x", "secret", nomadish.SecretText(text))
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "holder", holder)
	if strings.Contains(b.String(), text) {
		t.Errorf("logged: %s", b.String())
	}
	if got, err := json.Marshal(nomadish.SecretText(text)); err != nil || string(got) != `"s3cr3t"` {
		t.Errorf("JSON: %s, %v", got, err)
	}
	if got := nomadish.SecretText("").String(); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}
