package nomadish

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is text that only those may see whom it is meant for: a token, an identity, a key.
// Wherever it is printed or logged it says no more than that it is there. JSON and the binary
// encoding carry it, since the API has to; what must not carry it has no field for it.
type Secret string

// Redacted is what a secret is printed as.
const Redacted = "<redacted>"

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) } // who prints hears of its failure

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
