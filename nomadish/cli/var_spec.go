package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/nomadish/nomadish/jobspec/hcl1"
	"github.com/nomadish/nomadish/nomadish"
)

// Formats of variables in files and on standard input and output.
const (
	formatHCL      = "hcl"
	formatJSON     = "json"
	formatTable    = "table"
	formatTerse    = "terse"
	formatNone     = "none"
	formatTemplate = "go-template"
)

// maxSpecification bounds what is read of a variable's specification, or of an item.
const maxSpecification = 512 << 10

// varSpec reads what is said of a variable on a command line.
type varSpec struct {
	c      *call
	format string // of what the name of a file does not tell; "" is JSON
	stdin  bool   // standard input has been read
}

// read reads a reference: "-" is standard input, "@FILE" a file.
func (s *varSpec) read(ref string) (name string, text []byte, err error) {
	if ref != "-" {
		name = strings.TrimPrefix(ref, "@")
		file, err := os.Open(name)
		if err != nil {
			return "", nil, err
		}
		defer file.Close()
		text, err = bounded(file, name)
		return name, text, err
	}
	if s.stdin || s.c.Stdin == nil {
		return "", nil, errors.New("standard input can be read for one thing only")
	}
	s.stdin = true
	text, err = bounded(s.c.Stdin, "standard input")
	return "standard input", text, err
}

// bounded reads all of r.
func bounded(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSpecification+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxSpecification {
		return nil, fmt.Errorf("%s is larger than %d bytes, the most that a variable can take", name, maxSpecification)
	}
	return text, nil
}

// isSpec says that an argument is a reference to a specification.
func isSpec(arg string) bool { return arg == "-" || strings.HasPrefix(arg, "@") }

// variable reads a specification.
func (s *varSpec) variable(ref string) (*nomadish.Variable, error) {
	name, text, err := s.read(ref)
	if err != nil {
		return nil, err
	}
	format := s.format
	if ext := strings.TrimPrefix(filepath.Ext(name), "."); ref != "-" && (ext == formatHCL || ext == formatJSON) {
		format = ext
	}
	switch format {
	case formatHCL:
		return hclVariable(name, text)
	case formatJSON, "":
		v := &nomadish.Variable{}
		if err := nomadish.DecodeJSON(text, v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}
	return nil, s.c.misused("-in: %q is neither hcl nor json", format)
}

// items reads pairs KEY=VALUE into a variable. A value may be a reference.
func (s *varSpec) items(v *nomadish.Variable, pairs []string) error {
	for i, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" { // it may be a secret: it is not shown
			return s.c.misused("the argument at place %d of the items is none: an item is KEY=VALUE", i+1)
		}
		if isSpec(value) {
			_, text, err := s.read(value)
			if err != nil {
				return fmt.Errorf("item %s: %w", key, err)
			}
			value = string(text)
		} else {
			value = strings.TrimPrefix(value, `\`) // that keeps an @ or a dash from being a reference
		}
		if v.Items == nil {
			v.Items = nomadish.VariableItems{}
		}
		v.Items[key] = value
	}
	return nil
}

// hclVariable reads a specification in HCL.
func hclVariable(name string, text []byte) (*nomadish.Variable, error) {
	body, err := hcl1.Parse(name, text)
	if err != nil {
		return nil, err
	}
	v := &nomadish.Variable{}
	var lock nomadish.VariableLock
	fields := map[string]func(cty.Value) error{
		"path":         into(&v.Path),
		"namespace":    into(&v.Namespace),
		"create_index": number64(&v.CreateIndex),
		"modify_index": number64(&v.ModifyIndex),
		"create_time":  func(cty.Value) error { return nil }, // the server's
		"modify_time":  func(cty.Value) error { return nil },
		"items": func(value cty.Value) error {
			v.Items = nomadish.VariableItems{}
			return eachField(value, func(key string, value cty.Value) error {
				var text string
				err := into(&text)(value)
				v.Items[key] = text
				return err
			})
		},
		"lock": func(value cty.Value) error {
			v.Lock = &lock
			parts := map[string]func(cty.Value) error{"id": into(&lock.ID), "ttl": into(&lock.TTL), "lock_delay": into(&lock.LockDelay), "fence": number64(&lock.Fence)}
			return eachField(value, func(key string, value cty.Value) error {
				if parts[key] == nil {
					return fmt.Errorf("lock.%s is not known: there are id, ttl, lock_delay and fence", key)
				}
				return parts[key](value)
			})
		},
	}
	schema := &hcl.BodySchema{}
	for field := range fields {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: field})
	}
	content, diags := body.Content(schema)
	if diags.HasErrors() {
		return nil, diags
	}
	for field, attr := range content.Attributes {
		value, diags := attr.Expr.Value(nil)
		if diags.HasErrors() {
			return nil, diags
		}
		if err := fields[field](value); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", attr.Range, field, err)
		}
	}
	return v, nil
}

// into reads a text, or what can be written as one.
func into(target *string) func(cty.Value) error {
	return func(value cty.Value) error {
		text, err := convert.Convert(value, cty.String)
		if err != nil || text.IsNull() {
			return errors.New("a text is wanted")
		}
		*target = text.AsString()
		return nil
	}
}

// number64 reads an index.
func number64(target *uint64) func(cty.Value) error {
	return func(value cty.Value) error {
		var text string
		err := into(&text)(value)
		if err == nil {
			*target, err = strconv.ParseUint(text, 10, 64)
		}
		if err != nil {
			return errors.New("a whole number is wanted")
		}
		return nil
	}
}

// eachField calls do with what is in a map or block.
func eachField(value cty.Value, do func(key string, value cty.Value) error) error {
	if value.IsNull() || !value.CanIterateElements() || !value.Type().IsObjectType() && !value.Type().IsMapType() {
		return errors.New("a block of names and values is wanted")
	}
	for key, v := range value.AsValueMap() {
		if err := do(key, v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// variableHCL writes a variable as a specification.
func variableHCL(v *nomadish.Variable) string {
	var b strings.Builder
	fmt.Fprintf(&b, "namespace    = %q\npath         = %q\n", v.Namespace, v.Path)
	fmt.Fprintf(&b, "create_index = %d\nmodify_index = %d\ncreate_time  = %d\nmodify_time  = %d\n", v.CreateIndex, v.ModifyIndex, v.CreateTime, v.ModifyTime)
	if l := v.Lock; l != nil {
		fmt.Fprintf(&b, "\nlock {\n  id         = %q\n  ttl        = %q\n  lock_delay = %q\n  fence      = %d\n}\n", l.ID, l.TTL, l.LockDelay, l.Fence)
	}
	b.WriteString("\nitems {\n")
	for _, key := range itemKeys(v.Items) {
		fmt.Fprintf(&b, "  %s = %s\n", hclText(key), hclText(v.Items[key]))
	}
	b.WriteString("}\n")
	return b.String()
}

// hclText writes a text as HCL does. What would begin an expression there is only text.
func hclText(text string) string {
	return strings.ReplaceAll(strconv.Quote(text), "${", `$\u007b`)
}

// itemKeys are the keys of items in order.
func itemKeys(items nomadish.VariableItems) []string {
	keys := make([]string, 0, len(items))
	for key := range items {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
