package jobspec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on the syntax of one file. They are checked before the recursive
// parser runs, whose stack, memory and time grow with them.
const (
	maxNesting    = 4096    // brackets, blocks, templates and chained operators around one another
	maxTokens     = 1 << 16 // words, signs and pieces of text
	maxNestedWork = 1 << 24 // nesting of each opening bracket, added up
	maxMelt       = 1 << 28 // bytes that joining the pieces of templates copies
)

// scanner walks over the text of a file as HCL's own scanner does, but keeps no
// tokens: it only counts. Where the two could differ it counts too much.
type scanner struct {
	name   string
	text   []byte
	pos    int
	start  hcl.Pos
	frames []frame
	depth  int // frames and the operators in them
	tokens int
	work   int
	melt   int
	digits int // length of the longest number

	unclosed bool // there is no end of a comment in the rest of the text
}

// frame is an open bracket or template.
type frame struct {
	kind      frameKind
	operators int    // nesting that operators add, since the last separator
	marker    []byte // what ends a heredoc
	pieces    int    // literal pieces of a template
	start     int    // where the template began
}

type frameKind byte

const (
	inFile    frameKind = iota // newlines separate
	inBraces                   // newlines separate
	inParens                   // only commas separate
	inInterp                   // ${…} and %{…}
	inString                   // "…"
	inHeredoc                  // <<X … X
	inBare                     // a template without delimiters
)

// scan checks the bounds of a text: a file, or with inBare a template.
func scan(name string, text []byte, start hcl.Pos, kind frameKind) hcl.Diagnostics {
	s := &scanner{name: name, text: text, start: start}
	s.frames = append(s.frames, frame{kind: kind})
	for s.pos < len(s.text) {
		if problem := s.step(); problem != "" {
			return s.refuse(problem)
		}
	}
	for range s.frames {
		s.pop() // an unclosed template costs as much as a closed one
	}
	if s.melt > maxMelt {
		return s.refuse(tooLong)
	}
	return nil
}

var (
	tooDeep  = fmt.Sprintf("Blocks and expressions may be nested %d deep at most.", maxNesting)
	tooMany  = fmt.Sprintf("A file may have at most %d words, signs and lines of text in it.", maxTokens)
	tooLong  = "The text of a string or heredoc has too many lines for its length; move a part of it to an artifact."
	tooMixed = "This file has too many deeply nested expressions."
)

// step reads one token and returns what is wrong with the file so far, or "".
func (s *scanner) step() string {
	s.tokens++
	switch s.top().kind {
	case inString:
		s.stringPiece()
	case inHeredoc, inBare:
		s.heredocPiece()
	default:
		s.code()
	}
	return s.problem()
}

func (s *scanner) problem() string {
	switch {
	case s.depth > maxNesting:
		return tooDeep
	case s.tokens > maxTokens:
		return tooMany
	case s.work > maxNestedWork:
		return tooMixed
	case s.melt > maxMelt:
		return tooLong
	case s.digits > maxDigits:
		return sentence(errDigits)
	}
	return ""
}

func (s *scanner) top() *frame { return &s.frames[len(s.frames)-1] }

func (s *scanner) push(kind frameKind) {
	s.frames = append(s.frames, frame{kind: kind, start: s.pos})
	s.depth++
	s.work += s.depth
}

func (s *scanner) pop() {
	f := s.top()
	if f.kind >= inString {
		// The parser joins the pieces one by one, copying what it has.
		s.melt += f.pieces * (s.pos - f.start) / 2
	}
	s.depth -= f.operators + 1
	if len(s.frames) > 1 {
		s.frames = s.frames[:len(s.frames)-1]
	}
}

// operator notes a sign that makes the tree deeper without a bracket.
func (s *scanner) operator() {
	s.top().operators++
	s.depth++
}

func (s *scanner) separate() {
	s.depth -= s.top().operators
	s.top().operators = 0
}

func (s *scanner) at(prefix string) bool {
	return bytes.HasPrefix(s.text[s.pos:], []byte(prefix))
}

// code reads one token outside of templates.
func (s *scanner) code() {
	switch c := s.text[s.pos]; c {
	case ' ', '\t':
		s.tokens--
		s.pos++
	case '\n':
		if k := s.top().kind; k == inFile || k == inBraces {
			s.separate()
		}
		s.pos++
	case '\r':
		s.pos++
	case ',':
		s.separate()
		s.pos++
	case '#':
		s.skipLine()
	case '"':
		s.pos++
		s.push(inString)
	case '{':
		s.pos++
		s.push(inBraces)
	case '(', '[':
		s.pos++
		s.push(inParens)
	case ')', ']', '}':
		s.pos++
		s.close(c)
	case '/', '<':
		s.slashOrLess(c)
	case '!', '-', '+', '*', '%', '?', '=', '>', '&', '|', '.', ':', '~', '^', ';', '`', '\'':
		s.pos++
		if c != '.' && c != ':' && c != '=' {
			s.operator()
		}
	default:
		s.word()
	}
}

// close ends the innermost bracket. Like the parser's scanner it goes by braces:
// one that closes ends whatever parentheses are open in it.
func (s *scanner) close(c byte) {
	if c != '}' {
		if s.top().kind == inParens {
			s.pop()
			s.operator() // f(…)(…) and x[…][…] nest to the left
		}
		return
	}
	for s.top().kind == inParens {
		s.pop()
	}
	if s.top().kind != inFile {
		s.pop()
	}
}

func (s *scanner) slashOrLess(c byte) {
	switch {
	case s.at("//"):
		s.skipLine()
	case s.at("/*"):
		end := -1
		if !s.unclosed {
			end = bytes.Index(s.text[s.pos+2:], []byte("*/"))
		}
		if s.unclosed = end < 0; s.unclosed {
			s.pos++ // no comment without its end
			s.operator()
		} else {
			s.pos += end + 4
		}
	case c == '<' && s.heredoc():
	default:
		s.pos++
		s.operator()
	}
}

func (s *scanner) skipLine() {
	if end := bytes.IndexByte(s.text[s.pos:], '\n'); end >= 0 {
		s.pos += end + 1
		if k := s.top().kind; k == inFile || k == inBraces {
			s.separate()
		}
		return
	}
	s.pos = len(s.text)
}

// heredoc reads the beginning of a heredoc, "<<EOT" and the end of the line.
func (s *scanner) heredoc() bool {
	rest, ok := bytes.CutPrefix(s.text[s.pos:], []byte("<<"))
	if !ok {
		return false
	}
	rest = bytes.TrimPrefix(rest, []byte("-"))
	marker := rest[:wordLength(rest)]
	end := bytes.TrimPrefix(rest[len(marker):], []byte("\r"))
	if !bytes.HasPrefix(end, []byte("\n")) || !hclsyntax.ValidIdentifier(string(marker)) {
		return false
	}
	s.pos = len(s.text) - len(end) + 1
	s.push(inHeredoc)
	s.top().marker = marker
	return true
}

// word skips a name, or the digits of a number, which a name may follow.
func (s *scanner) word() {
	rest := s.text[s.pos:]
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if n == 0 {
		n = wordLength(rest)
	}
	s.digits = max(s.digits, numberLength(rest[:n]))
	s.pos += max(n, 1)
}

func wordLength(text []byte) int {
	n := 0
	for n < len(text) {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError || r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			break
		}
		n += size
	}
	return n
}

// interpolation reads "${" or "%{" in a template.
func (s *scanner) interpolation() bool {
	if !s.at("${") && !s.at("%{") {
		return false
	}
	if s.text[s.pos] == '%' {
		s.operator() // %{ if … } nests until its endif; counted as if it never ended
	}
	s.pos += 2
	s.push(inInterp)
	return true
}

// stringPiece reads one piece of a quoted string.
func (s *scanner) stringPiece() {
	if s.interpolation() {
		return
	}
	s.top().pieces++
	switch c := s.text[s.pos]; {
	case c == '"':
		s.pos++
		s.pop()
	case s.at("$${") || s.at("%%{"):
		s.pos += 3
	case c == '$' || c == '%':
		s.pos++
	case c == '\n' || c == '\r':
		s.pos++
	default:
		n := s.plain("$%\"\n\r")
		s.digits = max(s.digits, numberLength(s.text[s.pos:s.pos+n])) // it may be an index
		s.piece(n)
	}
}

// plain returns the length of the text up to one of the stops, escapes skipped.
func (s *scanner) plain(stops string) int {
	rest := s.text[s.pos:]
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && i+1 < len(rest) && rest[i+1] != '\n' && rest[i+1] != '\r':
			i++
		case bytes.IndexByte([]byte(stops), rest[i]) >= 0:
			return max(i, 1)
		}
	}
	return len(rest)
}

// heredocPiece reads a line of a heredoc or template, up to what interpolates.
func (s *scanner) heredocPiece() {
	f := s.top()
	if f.kind == inHeredoc && s.lineStart() && s.endsHeredoc(f.marker) {
		return
	}
	if s.interpolation() {
		return
	}
	f.pieces++
	switch {
	case s.at("$${") || s.at("%%{"):
		s.pos += 3
	case s.at("$") || s.at("%"):
		s.pos++
	default:
		rest := s.text[s.pos:]
		n := bytes.IndexAny(rest, "$%\n")
		switch {
		case n < 0:
			n = len(rest)
		case rest[n] == '\n':
			n++
		}
		s.piece(n)
	}
}

// piece skips n bytes of text, which bytes that are no UTF-8 cut into more pieces.
func (s *scanner) piece(n int) {
	text := s.text[s.pos : s.pos+n]
	s.pos += n
	if utf8.Valid(text) {
		return
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			s.tokens += 2
			s.top().pieces += 2
		}
		text = text[size:]
	}
}

func (s *scanner) lineStart() bool {
	return s.pos > 0 && s.text[s.pos-1] == '\n'
}

func (s *scanner) endsHeredoc(marker []byte) bool {
	line, _, found := bytes.Cut(s.text[s.pos:], []byte("\n"))
	if !found || !bytes.Equal(bytes.TrimSpace(line), marker) {
		return false
	}
	s.pos += len(line) // the newline belongs to the code after it
	s.pop()
	return true
}

func (s *scanner) refuse(problem string) hcl.Diagnostics {
	at := s.start
	done := s.text[:min(s.pos, len(s.text))]
	if n := bytes.Count(done, []byte("\n")); n > 0 {
		at.Line += n
		at.Column = 1 + utf8.RuneCount(done[bytes.LastIndexByte(done, '\n')+1:])
	} else {
		at.Column += utf8.RuneCount(done)
	}
	at.Byte += len(done)
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  "File too complex",
		Detail:   problem,
		Subject:  &hcl.Range{Filename: s.name, Start: at, End: at},
	}}
}

// scanJSON checks the bounds of a JSON file.
func scanJSON(name string, text []byte) hcl.Diagnostics {
	s := &scanner{name: name, text: text, start: hcl.InitialPos}
	for s.pos < len(text) {
		switch text[s.pos] {
		case '"':
			begin := s.pos
			s.pos += 1 + jsonStringLength(text[begin+1:])
			s.tokens++
			if diags := scanJSONString(name, text[begin:min(s.pos+1, len(text))]); diags.HasErrors() {
				return diags
			}
		case '{', '[':
			s.depth++
			s.tokens++
		case '}', ']':
			s.depth--
		case ',', ':':
			s.tokens++
		default:
			n := numberLength(text[s.pos:])
			s.digits = max(s.digits, n)
			s.pos += max(n, 1) - 1
		}
		s.pos++
		if problem := s.problem(); problem != "" {
			return s.refuse(problem)
		}
	}
	return nil
}

// jsonStringLength returns where in text the closing quote is.
func jsonStringLength(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// scanJSONString checks the template that a string of a JSON file is.
func scanJSONString(name string, quoted []byte) hcl.Diagnostics {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return nil // the parser tells
	}
	return scan(name, []byte(text), hcl.InitialPos, inBare)
}
