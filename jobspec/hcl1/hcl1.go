// Package hcl1 reads the first version of HCL, and JSON that says the same, as agents'
// configuration and policies are written in. In it a line's end means nothing, so that
//
//	server { enabled = true bootstrap_expect = 1 }
//
// are two settings; a block may be written as a value ("ports = { http = 4646 }") and a map as
// a block ("meta { rack = 1 }"); and a text is what it says: nothing in it is filled in.
//
// What was read is an hcl.Body, whose reader says what is a block and what an attribute:
//
//	body, err := hcl1.Parse("agent.hcl", src)
//	diags := gohcl.DecodeBody(body, nil, &config)
package hcl1

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// maxNesting bounds how deep blocks, maps and lists may lie in each other.
const maxNesting = 256

// value is a text, number or bool, a list, or an object.
type value struct {
	literal cty.Value // of neither a list nor an object
	list    []*value
	object  *Body
	isList  bool
	rng     hcl.Range
}

// item is a setting: keys, and what they lead to. Further keys are labels, or lead deeper.
type item struct {
	keys  []key
	val   *value
	block bool // written without "="
}

type key struct {
	name string
	rng  hcl.Range
}

// Parse reads a file: JSON when it starts with a brace.
func Parse(name string, src []byte) (*Body, error) {
	p := &parser{scanner: newScanner(name, src)}
	p.next()
	var body *Body
	if p.tok.kind == '{' {
		p.json = true
		if v := p.value(); v != nil {
			body = v.object
		}
	} else {
		body = p.items(0)
	}
	if p.err == nil && p.tok.kind != endOfFile {
		p.fail(p.tok.rng, "%s is not expected here", p.tok)
	}
	if p.err != nil {
		return nil, p.err
	}
	return body, nil
}

// parser is a recursive descent over the tokens. The first error ends it.
type parser struct {
	*scanner
	tok   token
	depth int
	json  bool
	err   error
}

func (p *parser) next() {
	if p.err != nil {
		return
	}
	p.tok = p.scan()
	if p.tok.kind == invalid {
		p.fail(p.tok.rng, "%s", p.tok.text)
	}
}

// fail keeps the first fault, and ends reading.
func (p *parser) fail(rng hcl.Range, format string, args ...any) {
	if p.err == nil {
		p.err = hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Invalid configuration", Detail: fmt.Sprintf(format, args...), Subject: &rng,
		}}
	}
	p.tok = token{kind: endOfFile, rng: rng}
}

// items reads settings up to the kind of token that ends them. Commas between them may stand.
func (p *parser) items(end rune) *Body {
	body := &Body{rng: p.tok.rng}
	for p.tok.kind != end && p.err == nil {
		if p.tok.kind == endOfFile {
			p.fail(p.tok.rng, "the file ends within a block: a } is missing")
			break
		}
		if it := p.item(); it != nil {
			body.items = append(body.items, it)
		}
		if p.tok.kind == ',' {
			p.next()
		}
	}
	body.end = p.tok.rng
	return body
}

func (p *parser) item() *item {
	it := &item{}
	for p.tok.kind == identifier || p.tok.kind == text {
		it.keys = append(it.keys, key{p.tok.text, p.tok.rng})
		p.next()
	}
	assigned := p.tok.kind == '=' || p.json && p.tok.kind == ':'
	switch {
	case len(it.keys) == 0:
		p.fail(p.tok.rng, "a name is expected here, not %s", p.tok)
		return nil
	case assigned && len(it.keys) > 1:
		p.fail(it.keys[1].rng, "only one name may stand before =")
		return nil
	case assigned:
		p.next()
	case p.tok.kind != '{':
		p.fail(p.tok.rng, "= or { is expected after %q, not %s", it.keys[len(it.keys)-1].name, p.tok)
		return nil
	}
	it.block = !assigned
	it.val = p.value()
	return it
}

// value reads what stands behind "=", in a list, or is a block's braces; nil after an error.
func (p *parser) value() *value {
	p.depth++
	defer func() { p.depth-- }()
	v := &value{rng: p.tok.rng}
	switch {
	case p.depth > maxNesting:
		p.fail(p.tok.rng, "blocks, maps and lists may be nested at most %d deep", maxNesting)
	case p.tok.kind == '{':
		p.next()
		v.object = p.items('}')
		v.rng = hcl.RangeBetween(v.rng, p.tok.rng)
		p.next()
	case p.tok.kind == '[':
		p.next()
		v.isList, v.list = true, p.list()
		v.rng = hcl.RangeBetween(v.rng, p.tok.rng)
		p.next()
	case p.tok.kind == text:
		v.literal = cty.StringVal(p.tok.text)
		p.next()
	case p.tok.kind == number:
		n, err := numberValue(p.tok.text)
		if err != nil {
			p.fail(p.tok.rng, "%v", err)
			return nil
		}
		v.literal = n
		p.next()
	case p.tok.kind == identifier && (p.tok.text == "true" || p.tok.text == "false"):
		v.literal = cty.BoolVal(p.tok.text == "true")
		p.next()
	case p.json && p.tok.kind == identifier && p.tok.text == "null":
		v.literal = cty.NullVal(cty.DynamicPseudoType)
		p.next()
	default:
		p.fail(p.tok.rng, "a value is expected here, not %s; a text stands in quotes", p.tok)
	}
	if p.err != nil {
		return nil
	}
	return v
}

func (p *parser) list() []*value {
	var all []*value
	for p.tok.kind != ']' && p.err == nil {
		v := p.value()
		if v == nil {
			return nil
		}
		all = append(all, v)
		switch p.tok.kind {
		case ',':
			p.next()
		case ']':
		default:
			p.fail(p.tok.rng, "a comma or ] is expected here, not %s", p.tok)
		}
	}
	return all
}
