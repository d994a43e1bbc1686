package recovery_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
)

func made(t testing.TB) *recovery.Key {
	t.Helper()
	key, err := recovery.New()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Who has the key opens what was wrapped with its public half, and nobody else does.
func TestWrap(t *testing.T) {
	key, other := made(t), made(t)
	wrapped, err := recovery.Wrap(key.Public(), []byte("secret"), []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.Unwrap(wrapped, []byte("row 1"))
	if err != nil || string(plain) != "secret" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if _, err := other.Unwrap(wrapped, []byte("row 1")); err == nil {
		t.Error("another key opens it")
	}
	if _, err := key.Unwrap(wrapped, []byte("row 2")); err == nil {
		t.Error("it opens elsewhere")
	}
	if _, err := key.Unwrap(nil, nil); err == nil {
		t.Error("nothing opens")
	}
	if err := recovery.CheckPublic(key.Public()[1:]); err == nil {
		t.Error("a cut public half is taken")
	}
	if _, err := recovery.Wrap([]byte("x"), nil, nil); err == nil {
		t.Error("something is wrapped with no key")
	}
}

// The text is read as people type it, and gives the same key, now and in later programs.
func TestText(t *testing.T) {
	key := made(t)
	text := key.Text().Reveal()
	if !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{5}-){7}[0-9A-HJKMNP-TV-Z]{5}$`).MatchString(text) {
		t.Errorf("%q is not eight groups of five", text)
	}
	for _, typed := range []string{
		text, strings.ToLower(text), strings.ReplaceAll(text, "-", " "), strings.ReplaceAll(text, "-", ""), " " + text + "\r\n",
		strings.ReplaceAll(strings.ReplaceAll(text, "0", "o"), "1", "l"),
	} {
		got, err := recovery.Parse(nomadish.SecretText(typed))
		if err != nil {
			t.Errorf("%q: %v", typed, err)
			continue
		}
		if got.ID() != key.ID() || !bytes.Equal(got.Public(), key.Public()) {
			t.Errorf("%q is another key", typed)
		}
	}
	const known = "00000-00000-00000-00000-00000-00000-00000-2SXEY"
	if got, err := recovery.Parse(known); err != nil || got.ID() != "72d54d458cd7e1a7" {
		t.Errorf("a known key: %v, %v", got, err)
	}
}

// A key with a wrong, missing or additional character is refused, and the error does not show it.
func TestMistyped(t *testing.T) {
	text := made(t).Text().Reveal()
	for i := range text {
		if text[i] == '-' {
			continue
		}
		next := byte('7')
		if text[i] == next {
			next = '8'
		}
		for _, typed := range []string{text[:i] + string(next) + text[i+1:], text[:i] + text[i+1:], text[:i] + "7" + text[i:], text + "0", ""} {
			_, err := recovery.Parse(nomadish.SecretText(typed))
			if nomadish.KindOf(err) != nomadish.KindInvalid {
				t.Errorf("%q: %v", typed, err)
			} else if strings.Contains(err.Error(), text[:groups]) {
				t.Errorf("the error shows it: %v", err)
			}
		}
	}
}

const groups = 11 // the first two

// Whatever is read is written in the same way again.
func FuzzParse(f *testing.F) {
	f.Add("00000-00000-00000-00000-00000-00000-00000-00000")
	f.Add("o")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := recovery.Parse(nomadish.SecretText(text))
		if err != nil {
			return
		}
		again, err := recovery.Parse(key.Text())
		if err != nil || again.ID() != key.ID() {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func ExampleKey() {
	key, err := recovery.New()
	if err != nil {
		return
	}
	wrapped, err := recovery.Wrap(key.Public(), []byte("a root key"), []byte("its ID"))
	if err != nil {
		return
	}
	typed, err := recovery.Parse(key.Text()) // years later
	if err != nil {
		return
	}
	plain, err := typed.Unwrap(wrapped, []byte("its ID"))
	fmt.Printf("%s, %v\n", plain, err)
	// Output: a root key, <nil>
}
