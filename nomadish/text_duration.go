package nomadish

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// TextDuration is a duration that JSON shows as text ("1h0m0s", and nothing as ""), where
// Nomad's API does so. It is read as text or as nanoseconds.
type TextDuration time.Duration

func (d TextDuration) String() string { return time.Duration(d).String() }

// MarshalJSON implements json.Marshaler.
func (d TextDuration) MarshalJSON() ([]byte, error) {
	if d == 0 {
		return []byte(`""`), nil
	}
	return json.Marshal(d.String())
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *TextDuration) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if string(b) == "null" {
		return nil
	}
	var text string
	if len(b) > 0 && b[0] != '"' {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return Errorf(KindInvalid, "%.40q is no duration: want text such as \"30s\", or nanoseconds", b)
		}
		*d = TextDuration(n)
		return nil
	}
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	if text == "" {
		*d = 0
		return nil
	}
	n, err := time.ParseDuration(text)
	if err != nil {
		return Errorf(KindInvalid, "%.40q is no duration: want text such as \"30s\", or nanoseconds", text)
	}
	*d = TextDuration(n)
	return nil
}
