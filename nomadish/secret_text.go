package nomadish

import (
	"fmt"
	"io"
	"log/slog"
)

// SecretText is text that only those may see whom it is meant for: a token, an identity, a key.
// Wherever it is printed or logged it says no more than that it is there. JSON and the binary
// encoding carry it, since the API has to; what must not carry it has no field for it.
type SecretText string

// Reveal returns the text.
func (s SecretText) Reveal() string { return string(s) }

// Format implements fmt.Formatter, for every verb.
func (s SecretText) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) } // who prints hears of its failure

func (s SecretText) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// LogValue implements slog.LogValuer.
func (s SecretText) LogValue() slog.Value { return slog.StringValue(s.String()) }
