package jobspec

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/nomadish/nomadish/nomadish"
)

// maxSource bounds the text of a job file or variables file, in bytes.
const maxSource = 1 << 20

// sources holds the text of every file that was read, for messages.
type sources map[string][]byte

func newSources() sources { return make(sources) }

// parse reads the syntax of a file.
func (s sources) parse(name string, text []byte) (hcl.Body, error) {
	body, diags := s.syntax(name, text)
	if !diags.HasErrors() {
		return body, nil
	}
	err := s.fault(diags)
	err.syntax = true
	if len(text) > maxSource {
		err.kind = nomadish.KindTooLarge
	}
	return nil, err
}

// syntax parses a file after its bounds were checked. A file whose first
// character is an opening brace is JSON.
func (s sources) syntax(name string, text []byte) (hcl.Body, hcl.Diagnostics) {
	if len(text) > maxSource {
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "File too large",
			Detail:   fmt.Sprintf("%s has %d bytes; at most %d are allowed.", name, len(text), maxSource),
		}}
	}
	if !utf8.Valid(text) { // the parser lets some pass
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "Invalid character encoding",
			Detail:   name + " is not encoded in UTF-8.",
		}}
	}
	s[name] = text
	var file *hcl.File
	var diags hcl.Diagnostics
	if isJSON(text) {
		if diags := scanJSON(name, text); diags.HasErrors() {
			return nil, diags
		}
		file, diags = json.Parse(text, name)
	} else {
		if diags := scan(name, text, hcl.InitialPos, inFile); diags.HasErrors() {
			return nil, diags
		}
		file, diags = hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return file.Body, diags
}

func isJSON(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(text) > 0 && text[0] == '{'
}
