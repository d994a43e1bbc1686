package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// isTerminal says that what is written shows on a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colored says that what is written may have colors: on a terminal, unless the flags or the
// environment say otherwise.
func (c *call) colored(w io.Writer) bool {
	if c.remote.forceColor {
		return true
	}
	if _, no := c.lookup("NO_COLOR"); no || c.remote.noColor {
		return false
	}
	name, _ := c.lookup("TERM")
	return isTerminal(w) && name != "dumb"
}

// tone is how good or bad something is, which its color shows.
type tone uint8

const (
	toneNone tone = iota
	toneBusy
	toneGood
	toneBad
	toneFaint
)

// paint colors text for a terminal.
func (t tone) paint(text string) string {
	code := [...]string{toneNone: "", toneBusy: "33", toneGood: "32", toneBad: "31", toneFaint: "2"}[t]
	if code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// screen keeps a block of lines at the bottom of a terminal, below what is printed for good.
type screen struct {
	w      io.Writer
	size   func() (width, height int)
	widths []int // columns of the lines of the block that is there
}

// Size of a terminal that does not tell its own.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// newScreen makes a screen of a terminal.
func newScreen(f *os.File) *screen {
	return &screen{w: f, size: func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return defaultWidth, defaultHeight
		}
		return width, height
	}}
}

// draw replaces the block. Each change is one write, and lines are overwritten and not cleared
// first, so that nothing flickers.
func (s *screen) draw(block []string) { s.change("", block) }

// print adds text above the block, which goes on with the lines given.
func (s *screen) print(text string, block []string) { s.change(text, block) }

// leave ends the block: what is drawn of it stays.
func (s *screen) leave() { s.widths = nil }

func (s *screen) change(text string, block []string) {
	var b strings.Builder
	if up := s.rows(); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteByte('\r')
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSuffix(line, "\n") + "\x1b[K\n")
	}
	b.WriteString("\x1b[?7l") // no line of the block wraps, whatever the terminal takes its width for
	s.widths = s.widths[:0]
	for _, line := range block {
		b.WriteString(line + "\x1b[K\n")
		s.widths = append(s.widths, columns(line))
	}
	b.WriteString("\x1b[?7h\x1b[J")
	_, _ = io.WriteString(s.w, b.String()) // without a reader the exit code is still right
}

// rows counts the rows that the block takes now: a terminal that has become narrower since it
// was drawn has wrapped lines.
func (s *screen) rows() int {
	width, _ := s.size()
	n := 0
	for _, w := range s.widths {
		n += max(1, (w+width-1)/width)
	}
	return n
}

// columns counts the columns that a line takes on a terminal, without its colors.
func columns(line string) int {
	n := 0
	for len(line) > 0 {
		if strings.HasPrefix(line, "\x1b[") {
			if end := strings.IndexByte(line, 'm'); end > 0 {
				line = line[end+1:]
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(line)
		n += runeColumns(r)
		line = line[size:]
	}
	return n
}

// wide are the runes that take two columns: East Asian wide and full-width ones, and pictures.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f900, 0x1f9ff, 1}, {0x20000, 0x3fffd, 1}},
}

func runeColumns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// fit cuts plain text to a number of columns, with an ellipsis where something is missing.
func fit(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > width-1 {
			return text[:i] + strings.Repeat("…", min(1, max(0, width)))
		}
	}
	return text
}

// pad fits text and fills it up to a number of columns.
func pad(text string, width int) string {
	text = fit(text, width)
	return text + strings.Repeat(" ", max(0, width-columns(text)))
}
