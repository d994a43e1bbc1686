package jobspec

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/nomadish/nomadish/nomadish"
)

// maxProblems bounds how many faults of one file are told.
const maxProblems = 32

// Error says what is wrong with a job file. Its Error is the form that the
// HTTP API gives, one line for each problem; Text is the form for people.
type Error struct {
	Problems []Problem

	kind   nomadish.Kind
	syntax bool // found while parsing, where later problems follow from the first
	more   int  // problems that were left out
}

// Problem is one fault in a job file.
type Problem struct {
	Range      hcl.Range // where; the zero Range when the fault has no place
	Summary    string    // the fault in a few words
	Detail     string    // the fault in sentences
	Suggestion string    // the name that was probably meant, or ""

	line    string // the source line at Range.Start
	context string // the block around it, such as `task "web"`
	follows bool   // only a consequence of the problem before it
}

func (p Problem) String() string {
	place := "<nil>"
	if p.Range.Filename != "" {
		place = p.Range.String()
	}
	return fmt.Sprintf("%s: %s; %s", place, p.Summary, p.Detail)
}

// Error returns one line for each problem: file, line and columns, summary, detail.
func (e *Error) Error() string {
	if len(e.Problems) == 0 {
		return "no problem"
	}
	if e.syntax {
		if n := len(e.Problems) + e.more - 1; n > 0 {
			return fmt.Sprintf("%s, and %d other diagnostic(s)", e.Problems[0], n)
		}
		return e.Problems[0].String()
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	if e.more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", e.more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind, for the HTTP status.
func (e *Error) Unwrap() error {
	kind := e.kind
	if kind == nomadish.KindInternal {
		kind = nomadish.KindInvalid
	}
	return &nomadish.Error{Kind: kind, Message: e.Error()}
}

// Text returns the problems for a terminal: each with the source line, a mark
// under the place, and a suggestion where a name looks misspelt.
func (e *Error) Text() string {
	var b strings.Builder
	for _, p := range e.Problems {
		if !p.follows {
			p.writeText(&b)
		}
	}
	if e.more > 0 {
		fmt.Fprintf(&b, "And %d more problems.\n", e.more)
	}
	return b.String()
}

func (p Problem) writeText(b *strings.Builder) {
	fmt.Fprintf(b, "Error: %s\n\n", p.Summary)
	if p.Range.Filename != "" {
		fmt.Fprintf(b, "  on %s line %d, column %d", p.Range.Filename, p.Range.Start.Line, p.Range.Start.Column)
		if p.context != "" {
			fmt.Fprintf(b, ", in %s", p.context)
		}
		b.WriteString(":\n")
		p.writeSnippet(b)
		b.WriteByte('\n')
	}
	b.WriteString(p.Detail)
	if p.Suggestion != "" && !strings.Contains(p.Detail, "Did you mean") {
		fmt.Fprintf(b, " Did you mean %q?", p.Suggestion)
	}
	b.WriteString("\n\n")
}

func (p Problem) writeSnippet(b *strings.Builder) {
	if p.line == "" {
		return
	}
	const width = 100 // a longer line is shown around the place
	line := []rune(strings.ReplaceAll(p.line, "\t", " "))
	from := min(max(p.Range.Start.Column-1, 0), len(line))
	to := len(line)
	if p.Range.End.Line == p.Range.Start.Line {
		to = min(p.Range.End.Column-1, len(line))
	}
	if cut := from - width/2; len(line) > width && cut > 0 {
		line, from, to = line[cut:], from-cut, to-cut
	}
	if len(line) > width {
		line = line[:width]
		to = min(to, width)
	}
	number := fmt.Sprintf("%4d: ", p.Range.Start.Line)
	fmt.Fprintf(b, "%s%s\n", number, string(line))
	fmt.Fprintf(b, "%s%s\n", strings.Repeat(" ", len(number)+from), strings.Repeat("^", max(to-from, 1)))
}

// fault makes an Error of what the evaluation of a file found.
func (s sources) fault(diags hcl.Diagnostics) *Error {
	e := &Error{kind: nomadish.KindInvalid}
	for i, diag := range diags {
		if diag.Severity != hcl.DiagError {
			continue
		}
		if len(e.Problems) == maxProblems {
			e.more++
			continue
		}
		p := s.problem(diag)
		p.follows = i > 0 && len(e.Problems) > 0 && strings.HasSuffix(p.Detail, "value must be known")
		e.Problems = append(e.Problems, p)
	}
	return e
}

func (s sources) problem(diag *hcl.Diagnostic) Problem {
	p := Problem{Summary: diag.Summary, Detail: diag.Detail, Suggestion: suggestion(diag)}
	if diag.Subject == nil {
		return p
	}
	p.Range = *diag.Subject
	if text, ok := s[p.Range.Filename]; ok {
		p.line = sourceLine(text, p.Range.Start.Line)
		p.context = enclosing(text, p.Range)
	}
	return p
}

func sourceLine(text []byte, n int) string {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxSource+1)
	for i := 1; lines.Scan(); i++ {
		if i == n {
			return lines.Text()
		}
	}
	return ""
}

var blockHeader = regexp.MustCompile(`^\s*([a-z_]+(?:\s+"[^"]*")+)\s*\{\s*$`)

// enclosing finds the nearest labelled block around a place by its indentation,
// which is good enough for a hint in a message.
func enclosing(text []byte, at hcl.Range) string {
	lines := bytes.SplitN(text, []byte("\n"), at.Start.Line+1)
	if at.Start.Line > len(lines) {
		return ""
	}
	depth := indent(lines[at.Start.Line-1])
	for i := at.Start.Line - 2; i >= 0 && depth > 0; i-- {
		if len(bytes.TrimSpace(lines[i])) == 0 || indent(lines[i]) >= depth {
			continue
		}
		depth = indent(lines[i])
		if m := blockHeader.FindSubmatch(lines[i]); m != nil {
			return string(m[1])
		}
	}
	return ""
}

func indent(line []byte) int {
	return len(line) - len(bytes.TrimLeft(line, " \t"))
}

var didYouMean = regexp.MustCompile(`Did you mean "([^"]+)"\?`)

func suggestion(diag *hcl.Diagnostic) string {
	if m := didYouMean.FindStringSubmatch(diag.Detail); m != nil {
		return m[1]
	}
	if s, ok := diag.Extra.(suggested); ok {
		return string(s)
	}
	return ""
}

// suggested is put into a diagnostic whose text may not change.
type suggested string

// sentence makes a sentence of an error.
func sentence(err error) string {
	text := err.Error()
	first, n := utf8.DecodeRuneInString(text)
	return strings.ToUpper(string(first)) + text[n:] + "."
}
