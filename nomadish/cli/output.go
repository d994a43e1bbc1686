package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode/utf8"

	"github.com/nomadish/nomadish/nomadish"
)

// output holds the flags of commands that show something.
type output struct {
	json     bool
	template string
}

// outputFlags adds the flags of commands that show something.
func (c *call) outputFlags() {
	c.flags.BoolVar(&c.output.json, "json", false, "print JSON, in the shape of the API")
	c.templateFlag()
}

func (c *call) templateFlag() {
	c.flags.StringVar(&c.output.template, "t", "", "print by a Go `template`, such as '{{.ID}}'; the function json is there besides Go's")
}

// machine says that a program reads what the command prints.
func (c *call) machine() bool { return c.output.json || c.output.template != "" }

// show prints v as the flags ask: as JSON, by a template, or as text for people.
func (c *call) show(v any, text func(p *page)) error {
	switch {
	case c.output.json && c.output.template != "":
		return c.misused("-json and -t exclude each other")
	case c.output.json:
		b, err := indented(v)
		if err != nil {
			return err
		}
		return c.writeMachine(b + "\n")
	case c.output.template != "":
		return c.fill(v)
	}
	p := &page{}
	text(p)
	return write(c.Stdout, p.String())
}

// fill prints v by the template.
func (c *call) fill(v any) error {
	t, err := template.New("-t").Funcs(template.FuncMap{"json": indented}).Option("missingkey=error").Parse(c.output.template)
	if err != nil {
		return c.misused("%w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return err
	}
	return c.writeMachine(strings.TrimSuffix(b.String(), "\n") + "\n")
}

// writeMachine writes text for programs as it is, unless a person looks at it.
func (c *call) writeMachine(text string) error {
	if isTerminal(c.Stdout) {
		text = printable(text)
	}
	return write(c.Stdout, text)
}

// indented is v as JSON for people and programs.
func indented(v any) (string, error) {
	b, err := nomadish.EncodeJSON(v)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "    "); err != nil {
		return "", fmt.Errorf("indent JSON: %w", err)
	}
	return out.String(), nil
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// page is text for people: fields, tables and paragraphs under titles.
type page struct{ b strings.Builder }

// String returns the page without characters that command terminals.
func (p *page) String() string { return printable(p.b.String()) }

// title begins a section.
func (p *page) title(format string, args ...any) {
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	fmt.Fprintf(&p.b, format+"\n", args...)
}

// line adds a line.
func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// fields adds names and values, aligned. A field without value is left out.
func (p *page) fields(rows ...[2]string) {
	w := tabwriter.NewWriter(&p.b, 0, 0, 1, ' ', 0)
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(w, "%s\t= %s\n", r[0], cell(r[1]))
		}
	}
	w.Flush() // a strings.Builder takes everything
}

// table adds rows under headers.
func (p *page) table(header []string, rows [][]string) {
	w := tabwriter.NewWriter(&p.b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = cell(text)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush() // a strings.Builder takes everything
}

// cell is text that keeps to its place.
func cell(text string) string {
	text = strings.Join(strings.Fields(printable(text)), " ")
	if text == "" {
		return "-"
	}
	return text
}

// content returns where the content of files and logs goes: as it is into files and pipes,
// without characters that command it to a terminal.
func (c *call) content() io.Writer {
	if isTerminal(c.Stdout) {
		return &tame{w: c.Stdout}
	}
	return c.Stdout
}

// tame passes on what is written to it but for characters that could command a terminal.
type tame struct {
	w    io.Writer
	rest []byte // the beginning of a character whose end is still to come
}

func (t *tame) Write(b []byte) (int, error) {
	text := append(t.rest, b...)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	out := printable(string(text[:end]))
	t.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(t.w, out); err != nil {
		return 0, err
	}
	return len(b), nil
}
