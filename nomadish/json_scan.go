package nomadish

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// space skips white space.
func (d *jsonDecoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the next byte after white space, or 0 at the end.
func (d *jsonDecoder) peek() byte {
	d.space()
	if d.pos >= len(d.data) {
		return 0
	}
	return d.data[d.pos]
}

// expect consumes c.
func (d *jsonDecoder) expect(c byte) error {
	if got := d.peek(); got != c {
		if d.pos >= len(d.data) {
			return d.syntax("it ends too early")
		}
		return d.syntax("want %q, got %q", c, got)
	}
	d.pos++
	return nil
}

func (d *jsonDecoder) literal(word string) error {
	if len(d.data)-d.pos < len(word) || string(d.data[d.pos:d.pos+len(word)]) != word {
		return d.syntax("want %s", word)
	}
	d.pos += len(word)
	return nil
}

func (d *jsonDecoder) enter() error {
	if d.depth++; d.depth > d.limits.Depth {
		return Errorf(KindInvalid, "body is nested deeper than %d", d.limits.Depth)
	}
	d.pos++
	return nil
}

// object reads an object and calls member at each value, which member consumes. A key is
// valid until then.
func (d *jsonDecoder) object(want string, member func(key []byte) error) error {
	if d.peek() != '{' {
		return d.mismatch(want)
	}
	if err := d.enter(); err != nil {
		return err
	}
	if d.peek() == '}' {
		d.pos++
		d.depth--
		return nil
	}
	for keys := 1; ; keys++ {
		if keys > d.limits.Keys {
			return Errorf(KindInvalid, "%s: more than %d keys", d.where(), d.limits.Keys)
		}
		if d.peek() != '"' {
			return d.syntax("want a key in quotes")
		}
		key, err := d.quoted()
		if err != nil {
			return err
		}
		if err := d.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if d.peek() == '}' {
			d.pos++
			d.depth--
			return nil
		}
		if err := d.expect(','); err != nil {
			return err
		}
	}
}

// array reads an array and calls element at each value, which element consumes.
func (d *jsonDecoder) array(element func() error) error {
	if d.peek() != '[' {
		return d.mismatch("an array")
	}
	if err := d.enter(); err != nil {
		return err
	}
	if d.peek() == ']' {
		d.pos++
		d.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if d.peek() == ']' {
			d.pos++
			d.depth--
			return nil
		}
		if err := d.expect(','); err != nil {
			return err
		}
	}
}

// skip reads a value and forgets it.
func (d *jsonDecoder) skip() error {
	switch c := d.peek(); {
	case c == '{':
		return d.object("", func([]byte) error { return d.skip() })
	case c == '[':
		return d.array(d.skip)
	case c == '"':
		_, err := d.quoted()
		return err
	case c == 't':
		return d.literal("true")
	case c == 'f':
		return d.literal("false")
	case c == 'n':
		return d.literal("null")
	}
	_, err := d.numberText()
	return err
}

// numberText reads a number and returns it as it is written, as a part of the input.
func (d *jsonDecoder) numberText() ([]byte, error) {
	d.space()
	start := d.pos
	if d.at('-') {
		d.pos++
	}
	switch {
	case d.at('0'):
		d.pos++
	case d.digits() == 0:
		if d.pos >= len(d.data) {
			return nil, d.syntax("it ends too early")
		}
		return nil, d.syntax("unexpected %q", d.data[d.pos])
	}
	if d.at('.') {
		if d.pos++; d.digits() == 0 {
			return nil, d.syntax("a number ends in a point")
		}
	}
	if d.at('e') || d.at('E') {
		d.pos++
		if d.at('+') || d.at('-') {
			d.pos++
		}
		if d.digits() == 0 {
			return nil, d.syntax("a number has no exponent")
		}
	}
	return d.data[start:d.pos], nil
}

func (d *jsonDecoder) at(c byte) bool { return d.pos < len(d.data) && d.data[d.pos] == c }

func (d *jsonDecoder) digits() int {
	start := d.pos
	for d.pos < len(d.data) && d.data[d.pos] >= '0' && d.data[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}

// text reads a string.
func (d *jsonDecoder) text() (string, error) {
	b, err := d.quoted()
	if err != nil {
		return "", err
	}
	return string(b), d.charge(len(b))
}

// quoted reads a string. The result may be a part of the input.
func (d *jsonDecoder) quoted() ([]byte, error) {
	d.pos++ // the quote
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := d.data[start:d.pos]
			d.pos++
			return s, nil
		case c == '\\':
			return d.escaped(append([]byte(nil), d.data[start:d.pos]...))
		default:
			if err := d.char(c); err != nil {
				return nil, err
			}
		}
	}
	return nil, d.syntax("a string has no end")
}

// char consumes one character of a string that is no quote and no backslash.
func (d *jsonDecoder) char(c byte) error {
	if c < ' ' {
		return d.syntax("a string holds the control character %q", c)
	}
	if c < utf8.RuneSelf {
		d.pos++
		return nil
	}
	r, size := utf8.DecodeRune(d.data[d.pos:])
	if r == utf8.RuneError && size <= 1 {
		return d.syntax("a string is not UTF-8")
	}
	d.pos += size
	return nil
}

// escaped reads the rest of a string that has escapes; s is what came before.
func (d *jsonDecoder) escaped(s []byte) ([]byte, error) {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch c {
		case '"':
			d.pos++
			return s, nil
		case '\\':
			r, err := d.escape()
			if err != nil {
				return nil, err
			}
			s = utf8.AppendRune(s, r)
		default:
			start := d.pos
			if err := d.char(c); err != nil {
				return nil, err
			}
			s = append(s, d.data[start:d.pos]...)
		}
	}
	return nil, d.syntax("a string has no end")
}

// escape reads a backslash and what follows.
func (d *jsonDecoder) escape() (rune, error) {
	d.pos++
	if d.pos >= len(d.data) {
		return 0, d.syntax("a string has no end")
	}
	c := d.data[d.pos]
	d.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return d.unicode()
	}
	return 0, d.syntax("unknown escape \\%c in a string", c)
}

// unicode reads the digits after \u, and the other half of a surrogate pair.
func (d *jsonDecoder) unicode() (rune, error) {
	r, ok := d.hex4()
	if ok && utf16.IsSurrogate(r) {
		var low rune
		if ok = d.at('\\'); ok {
			d.pos++
			if ok = d.at('u'); ok {
				d.pos++
				low, ok = d.hex4()
			}
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			ok = false
		}
	}
	if !ok {
		return 0, d.syntax(`a \u escape in a string is no character`)
	}
	return r, nil
}

func (d *jsonDecoder) hex4() (rune, bool) {
	if len(d.data)-d.pos < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.data[d.pos:d.pos+4]), 16, 16)
	d.pos += 4
	return rune(n), err == nil
}
