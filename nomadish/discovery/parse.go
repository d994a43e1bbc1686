package discovery

import (
	"errors"
	"fmt"
	"strings"
)

// maxPairs bounds a question.
const maxPairs = 100

// Parse reads the pairs of a question to a provider: KEY=VALUE, with spaces between them. Where a key or a value has
// spaces, quotes or backslashes it stands in double quotes, with a backslash before a quote or backslash.
func Parse(question string) (map[string]string, error) {
	pairs := map[string]string{}
	for rest := strings.TrimSpace(question); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, err := word(rest, "= ")
		if err != nil {
			return nil, err
		}
		if key == "" || !strings.HasPrefix(after, "=") {
			return nil, fmt.Errorf("pairs of a provider: want KEY=VALUE, got %q without a value", key)
		}
		value, after, err := word(after[1:], " ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if after != "" && after[0] != ' ' {
			return nil, fmt.Errorf("%s: after a quoted value a space has to follow", key)
		}
		if _, twice := pairs[key]; twice {
			return nil, fmt.Errorf("%s: is set twice", key)
		}
		if pairs[key] = value; len(pairs) > maxPairs {
			return nil, fmt.Errorf("pairs of a provider: more than %d", maxPairs)
		}
		rest = after
	}
	if pairs["provider"] == "" {
		return nil, errors.New("provider=: no provider is named")
	}
	return pairs, nil
}

// word reads up to one of the bytes, or what is quoted.
func word(text, until string) (word, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, until+`"\`)
		if end < 0 {
			return text, "", nil
		}
		if c := text[end]; c == '"' || c == '\\' {
			return "", "", fmt.Errorf("%q: what has quotes or backslashes has to stand in double quotes", c)
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", "", errors.New("a backslash has to stand before a quote or another backslash")
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quote is not closed")
}
