package hcl1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Kinds of tokens; punctuation is its own kind.
const (
	endOfFile rune = -iota
	invalid        // text says what is wrong
	identifier
	text // in quotes, or a heredoc; unquoted
	number
)

type token struct {
	kind rune
	text string
	rng  hcl.Range
}

// String names a token for the reader of a message.
func (t token) String() string {
	switch t.kind {
	case endOfFile:
		return "the end"
	case text:
		return strconv.Quote(t.text)
	}
	return t.text
}

// scanner cuts a file into tokens.
type scanner struct {
	name string
	src  []byte
	at   hcl.Pos
}

func newScanner(name string, src []byte) *scanner {
	return &scanner{name: name, src: bytes.TrimPrefix(src, []byte("\uFEFF")), at: hcl.InitialPos}
}

func (s *scanner) rest() []byte { return s.src[s.at.Byte:] }

// skip goes on by n bytes.
func (s *scanner) skip(n int) {
	for _, r := range string(s.rest()[:n]) {
		if s.at.Column++; r == '\n' {
			s.at.Line, s.at.Column = s.at.Line+1, 1
		}
	}
	s.at.Byte += n
}

// take makes a token of the next n bytes.
func (s *scanner) take(kind rune, n int, meaning string) token {
	from := s.at
	s.skip(n)
	return token{kind, meaning, hcl.Range{Filename: s.name, Start: from, End: s.at}}
}

func (s *scanner) scan() token {
	if n, ok := blanks(s.rest()); !ok {
		return s.take(invalid, 0, "a comment begins here that does not end")
	} else {
		s.skip(n)
	}
	rest := s.rest()
	if len(rest) == 0 {
		return s.take(endOfFile, 0, "")
	}
	r, size := utf8.DecodeRune(rest)
	switch {
	case strings.ContainsRune("{}[],=:", r):
		return s.take(r, 1, string(r))
	case r == '"':
		return s.quoted(rest)
	case bytes.HasPrefix(rest, []byte("<<")):
		return s.heredoc(rest)
	case r == '_' || unicode.IsLetter(r):
		n := run(rest, func(r rune) bool {
			return r == '_' || r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)
		})
		return s.take(identifier, n, string(rest[:n]))
	case r == '-' || r >= '0' && r <= '9':
		n := run(rest, func(r rune) bool {
			return strings.ContainsRune("+-._xX", r) || unicode.IsDigit(r) || unicode.IsLetter(r)
		})
		return s.take(number, n, string(rest[:n]))
	}
	return s.take(invalid, size, fmt.Sprintf("%q is not expected here", r))
}

// run counts the bytes of the runes that belong together.
func run(b []byte, belongs func(rune) bool) int {
	if n := bytes.IndexFunc(b, func(r rune) bool { return !belongs(r) }); n >= 0 {
		return n
	}
	return len(b)
}

// blanks counts the bytes of white space and comments; false: a comment does not end.
func blanks(src []byte) (int, bool) {
	n := 0
	for n < len(src) {
		rest := src[n:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			n++
		case rest[0] == '#', bytes.HasPrefix(rest, []byte("//")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return len(src), true
			}
			n += end + 1
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return 0, false
			}
			n += end + 4
		default:
			return n, true
		}
	}
	return n, true
}

// quoted reads a text in quotes. What stands between ${ and } is kept as it is written,
// quotes and line ends included.
func (s *scanner) quoted(src []byte) token {
	braces := 0
	for i := 1; i < len(src); i++ {
		switch c := src[i]; {
		case braces == 0 && c == '\\':
			i++
		case braces == 0 && c == '\n':
			return s.take(invalid, i, "a text begins here whose closing quote is missing on the line")
		case braces == 0 && c == '"':
			meaning, err := unquote(string(src[1:i]))
			if err != nil {
				return s.take(invalid, i+1, err.Error())
			}
			return s.take(text, i+1, meaning)
		case c == '$' && i+1 < len(src) && src[i+1] == '{':
			braces++
			i++
		case braces > 0 && c == '{':
			braces++
		case braces > 0 && c == '}':
			braces--
		}
	}
	return s.take(invalid, len(src), "a text begins here whose closing quote is missing")
}

// unquote replaces the escape sequences outside of ${ and }.
func unquote(s string) (string, error) {
	var b strings.Builder
	braces := 0
	for s != "" {
		switch {
		case strings.HasPrefix(s, "${"):
			braces++
			b.WriteString("${")
			s = s[2:]
		case braces > 0 || s[0] != '\\':
			switch {
			case braces > 0 && s[0] == '{':
				braces++
			case braces > 0 && s[0] == '}':
				braces--
			}
			b.WriteByte(s[0])
			s = s[1:]
		case strings.HasPrefix(s, `\/`): // JSON's
			b.WriteByte('/')
			s = s[2:]
		case strings.HasPrefix(s, `\u`):
			n := min(len(s), len(`\u0000`))
			if n < len(s) && strings.HasPrefix(s[n:], `\u`) { // perhaps the other half of a pair
				n = min(len(s), 2*n)
			}
			var meaning string
			if err := json.Unmarshal([]byte(`"`+s[:n]+`"`), &meaning); err != nil {
				return "", fmt.Errorf("%.12q is no escape sequence", s)
			}
			b.WriteString(meaning)
			s = s[n:]
		default:
			r, _, tail, err := strconv.UnquoteChar(s, '"')
			if err != nil {
				return "", fmt.Errorf("%.12q begins with no escape sequence; a backslash is written \\\\", s)
			}
			b.WriteRune(r)
			s = tail
		}
	}
	return b.String(), nil
}

// heredoc reads the lines behind <<MARK up to MARK; <<-MARK takes off the indent that all
// lines share with the last one.
func (s *scanner) heredoc(src []byte) token {
	head, body, found := bytes.Cut(src, []byte("\n"))
	mark, indented := strings.CutPrefix(strings.TrimRight(string(head[2:]), " \t\r"), "-")
	if !found || mark == "" {
		return s.take(invalid, len(head), "<< wants a word, and the text on the lines behind it")
	}
	var lines []string
	for n := len(head) + 1; len(body) > 0; {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		if strings.TrimSpace(string(line)) == mark {
			indent := string(line[:bytes.Index(line, []byte(mark))])
			return s.take(text, n+len(indent)+len(mark), joined(lines, indent, indented))
		}
		lines = append(lines, string(line))
		n += len(line) + 1
		body = rest
	}
	return s.take(invalid, len(src), fmt.Sprintf("a text begins here that no line with only %s ends", mark))
}

func joined(lines []string, indent string, indented bool) string {
	for _, line := range lines {
		indented = indented && (strings.HasPrefix(line, indent) || strings.TrimSpace(line) == "")
	}
	var b strings.Builder
	for _, line := range lines {
		if indented {
			line = strings.TrimPrefix(line, indent)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// numberValue reads a number: decimal, with fraction and exponent, hexadecimal or octal.
func numberValue(s string) (cty.Value, error) {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return cty.NumberIntVal(n), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s is no number; a text stands in quotes", s)
	}
	return cty.ParseNumberVal(strconv.FormatFloat(f, 'f', -1, 64))
}
