package acl

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/nomadish/nomadish/jobspec/hcl1"
	"github.com/nomadish/nomadish/nomadish"
)

// Bounds of a policy.
const (
	MaxSource = 256 << 10 // bytes of its text
	maxLabel  = 128       // characters of a name in it
	maxFaults = 10        // that one error tells of
)

// Policy is a policy that was read.
type Policy struct{ rules []*rule }

// Empty says that the policy gives nothing and denies nothing.
func (p *Policy) Empty() bool { return len(p.rules) == 0 }

// rule is a block of a policy.
type rule struct {
	subject string
	label   string // of subjects that have names
	caps    caps
	paths   []*rule // of a namespace's variables
}

// Parse reads a policy, in HCL or JSON. Its error names each fault with line and column, and
// is KindInvalid.
func Parse(src string) (*Policy, error) {
	if len(src) > MaxSource {
		return nil, nomadish.Errorf(nomadish.KindTooLarge, "policy: its rules have %d bytes, more than the limit of %d", len(src), MaxSource)
	}
	p := &parser{}
	body, err := hcl1.Parse("policy", []byte(src))
	if err != nil {
		p.diagnose(err)
		return nil, p.err()
	}
	out := &Policy{}
	content := p.content(body, "a policy", nil, blocks)
	for _, b := range content.Blocks {
		out.rules = append(out.rules, p.rule(b))
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// blocks are those of a policy. A namespace without a name is the default one.
var blocks = []hcl.BlockHeaderSchema{
	{Type: aNamespace, LabelNames: []string{"name?"}},
	{Type: aNodePool, LabelNames: []string{"name"}},
	{Type: aHostVolume, LabelNames: []string{"name"}},
	{Type: anAgent},
	{Type: aNode},
	{Type: anOperator},
	{Type: aQuota},
	{Type: aPlugin},
}

// parser collects the faults of a policy.
type parser struct {
	faults []fault
	seen   map[string]bool // subjects that there may be one rule about
}

type fault struct {
	at   hcl.Pos
	text string
}

func (p *parser) fail(at hcl.Range, format string, args ...any) {
	p.faults = append(p.faults, fault{at.Start, fmt.Sprintf(format, args...)})
}

// diagnose takes over faults that the reader of HCL found.
func (p *parser) diagnose(err error) {
	var diags hcl.Diagnostics
	if !errors.As(err, &diags) {
		p.fail(hcl.Range{Start: hcl.InitialPos}, "%v", err)
		return
	}
	for _, d := range diags {
		at := hcl.Range{Start: hcl.InitialPos}
		if d.Subject != nil {
			at = *d.Subject
		}
		p.fail(at, "%s", strings.TrimSuffix(d.Detail, "."))
	}
}

func (p *parser) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at.Byte, b.at.Byte) })
	var lines []string
	for i, f := range p.faults {
		if i == maxFaults {
			lines = append(lines, fmt.Sprintf("and %d more", len(p.faults)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("line %d, column %d: %s", f.at.Line, f.at.Column, f.text))
	}
	return nomadish.Errorf(nomadish.KindInvalid, "policy: %s", strings.Join(lines, "\n"))
}

// content returns what a body has of attributes and blocks. Anything else in it is a fault.
func (p *parser) content(body hcl.Body, of string, attributes []string, blocks []hcl.BlockHeaderSchema) *hcl.BodyContent {
	schema := &hcl.BodySchema{Blocks: blocks}
	names := slices.Clone(attributes)
	for _, a := range attributes {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: a})
	}
	for _, b := range blocks {
		names = append(names, b.Type)
	}
	content, rest, diags := body.PartialContent(schema)
	if diags.HasErrors() {
		p.diagnose(diags)
	}
	unknown, _ := rest.JustAttributes() // of our reader of HCL it takes anything
	for name, a := range unknown {
		p.fail(a.NameRange, "%q is nothing that %s has%s", name, of, hint(name, names))
	}
	return content
}

func (p *parser) rule(b *hcl.Block) *rule {
	s := subjects[b.Type]
	r := &rule{subject: b.Type}
	switch b.Type {
	case aNamespace, aNodePool, aHostVolume:
		r.label = nomadish.DefaultNamespace
		if len(b.Labels) > 0 {
			r.label = b.Labels[0]
			p.name(r.label, b.LabelRanges[0], b.Type)
		}
	default:
		if p.seen[b.Type] {
			p.fail(b.DefRange, "a policy has at most one %s rule", b.Type)
		}
		if p.seen == nil {
			p.seen = map[string]bool{}
		}
		p.seen[b.Type] = true
	}
	attributes, inner := []string{"policy"}, []hcl.BlockHeaderSchema(nil)
	if s.listed {
		attributes = append(attributes, "capabilities")
	}
	if b.Type == aNamespace {
		inner = append(inner, hcl.BlockHeaderSchema{Type: aVariable})
	}
	content := p.content(b.Body, "a "+b.Type+" rule", attributes, inner)
	r.caps = p.capabilities(s, content)
	for i, v := range content.Blocks {
		if i > 0 {
			p.fail(v.DefRange, "a namespace rule has at most one variables block")
		}
		r.paths = append(r.paths, p.variables(v)...)
	}
	if len(content.Attributes) == 0 && len(content.Blocks) == 0 {
		p.fail(b.DefRange, "this %s rule says nothing: %s must be set", b.Type, strings.Join(append(attributes, blockNames(inner)...), " or "))
	}
	return r
}

func blockNames(all []hcl.BlockHeaderSchema) (names []string) {
	for _, b := range all {
		names = append(names, b.Type)
	}
	return names
}

// variables reads the paths that a rule is about.
func (p *parser) variables(b *hcl.Block) (paths []*rule) {
	content := p.content(b.Body, "a variables block", nil, []hcl.BlockHeaderSchema{{Type: "path", LabelNames: []string{"path"}}})
	for _, path := range content.Blocks {
		r := &rule{subject: aVariable, label: path.Labels[0]}
		if r.label == "" || len(r.label) > maxLabel {
			p.fail(path.LabelRanges[0], "a path has 1 to %d characters, this one has %d", maxLabel, len(r.label))
		}
		inner := p.content(path.Body, "a path", []string{"capabilities"}, nil)
		if inner.Attributes["capabilities"] == nil {
			p.fail(path.DefRange, "capabilities must be set")
		}
		r.caps = p.capabilities(subjects[aVariable], inner)
		paths = append(paths, r)
	}
	return paths
}

// name checks a name with globs in it.
func (p *parser) name(label string, at hcl.Range, of string) {
	if label == "" || len(label) > maxLabel {
		p.fail(at, "the name of a %s has 1 to %d characters, this one has %d", of, maxLabel, len(label))
	}
	wrong := strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*")
	if wrong != "" {
		p.fail(at, "a name has letters, digits, - _ . and the glob *, not %q", wrong)
	}
}

// capabilities returns what a rule gives by its policy and its list.
func (p *parser) capabilities(s *subject, content *hcl.BodyContent) caps {
	var all caps
	if a := content.Attributes["policy"]; a != nil {
		for _, word := range p.words(a, false) {
			list, known := s.policies[word]
			if !known {
				p.fail(a.Expr.Range(), "policy %q is none of %s%s", word, enumerated(s.policies), hint(word, slices.Sorted(maps.Keys(s.policies))))
			}
			for _, c := range list {
				all |= s.bits[c]
			}
		}
	}
	if a := content.Attributes["capabilities"]; a != nil {
		for _, word := range p.words(a, true) {
			bits, known := s.bits[word]
			if !known {
				p.fail(a.Expr.Range(), "%q is no capability of a %s rule%s", word, s.name, hint(word, slices.Sorted(maps.Keys(s.bits))))
			}
			all |= bits
		}
	}
	return all
}

// words returns the text or the list of texts that an attribute is.
func (p *parser) words(a *hcl.Attribute, list bool) (words []string) {
	v, _ := a.Expr.Value(nil) // it is a literal
	switch {
	case !list && v.Type() == cty.String && !v.IsNull():
		return []string{v.AsString()}
	case list && v.Type().IsTupleType() && !v.IsNull():
		for _, e := range v.AsValueSlice() {
			if e.Type() != cty.String || e.IsNull() {
				p.fail(a.Expr.Range(), "%s is a list of texts", a.Name)
				return nil
			}
			words = append(words, e.AsString())
		}
		return words
	case list:
		p.fail(a.Expr.Range(), "%s is a list of texts, such as [\"read\"]", a.Name)
	default:
		p.fail(a.Expr.Range(), "%s is a text, such as \"read\"", a.Name)
	}
	return nil
}

func enumerated(all map[string][]string) string {
	return strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// hint suggests the name that was probably meant.
func hint(word string, names []string) string {
	best, found := 4, ""
	for _, n := range names {
		if d := levenshtein.Distance(word, n, nil); d < best && d < len(n) && len(word) < 2*maxLabel {
			best, found = d, n
		}
	}
	if found == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", found)
}
