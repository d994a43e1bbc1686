package jobspec

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func textFunctions() map[string]entry {
	return map[string]entry{
		"format":        {function: stdlib.FormatFunc, price: formatPrice},
		"formatlist":    {function: stdlib.FormatListFunc, price: formatPrice},
		"indent":        {function: stdlib.IndentFunc, price: indentPrice},
		"join":          {function: stdlib.JoinFunc, price: joinPrice},
		"split":         {function: stdlib.SplitFunc, price: splitPrice},
		"replace":       {function: replaceFunction, price: replacePrice},
		"regex_replace": {function: regexReplaceFunction, price: regexReplacePrice},
		"regex":         {function: stdlib.RegexFunc, price: func(args []cty.Value) (int, int, error) { return regexPrice(args[0], args[1]) }},
		"regexall":      {function: stdlib.RegexAllFunc, price: func(args []cty.Value) (int, int, error) { return regexPrice(args[0], args[1]) }},
		"startswith":    {function: testText(strings.HasPrefix)},
		"endswith":      {function: testText(strings.HasSuffix)},
		"strcontains":   {function: testText(strings.Contains)},
		"base64encode":  {function: mapText(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil })},
		"base64decode":  {function: mapText(decodeBase64)},
		"urlencode":     {function: mapText(func(s string) (string, error) { return url.QueryEscape(s), nil })},
	}
}

// mapText makes a function of one string to another.
func mapText(f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(s), nil
		},
	})
}

func testText(f func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func decodeBase64(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("no base64: %w", err)
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("the decoded bytes are no UTF-8 text")
	}
	return string(b), nil
}

func timestampFunction(now func() time.Time) function.Function {
	return function.New(&function.Spec{
		Type: function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.StringVal(now().UTC().Format(time.RFC3339)), nil
		},
	})
}

// formatPrice charges for the widths and precisions in a format, for each
// element that formatlist makes.
func formatPrice(args []cty.Value) (int, int, error) {
	rows, given := 1, 0
	for _, arg := range args[1:] {
		rows = max(rows, count(arg))
		given += size(arg)
	}
	if args[0].IsNull() || args[0].Type() != cty.String {
		return rows, 0, nil
	}
	pad, number := 0, 0
	verbs := 1
	for _, c := range args[0].AsString() {
		switch {
		case c >= '0' && c <= '9':
			if number = number*10 + int(c-'0'); number > maxBytes {
				return 0, 0, errBytes
			}
		default:
			pad, number = pad+number, 0
		}
		if c == '%' {
			verbs++
		}
	}
	if pad > maxBytes {
		return 0, 0, errBytes
	}
	// A verb may name its argument, so each may print the longest of them.
	return rows, min(rows, maxSteps) * (pad + len(args[0].AsString()) + min(verbs, 1<<16)*min(given, maxBytes)/max(rows, 1)), nil
}

func indentPrice(args []cty.Value) (int, int, error) {
	lines := strings.Count(args[1].AsString(), "\n")
	width, _ := args[0].AsBigFloat().Int64()
	if width < 0 || width > maxBytes {
		return 0, 0, errBytes
	}
	return 0, int(width) * lines, nil
}

func joinPrice(args []cty.Value) (int, int, error) {
	n := 0
	for _, list := range args[1:] {
		n += count(list)
	}
	return 0, n * len(args[0].AsString()), nil
}

func splitPrice(args []cty.Value) (int, int, error) {
	return strings.Count(args[1].AsString(), args[0].AsString()), 0, nil
}

// replaceFunction replaces a text, or where that is between slashes, what the
// regular expression between them finds.
var replaceFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		text, with := args[0].AsString(), args[2].AsString()
		if pattern, ok := slashed(args[1].AsString()); ok {
			return replaceRegex(text, pattern, with)
		}
		return cty.StringVal(strings.ReplaceAll(text, args[1].AsString(), with)), nil
	},
})

var regexReplaceFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "pattern", Type: cty.String}, {Name: "replace", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return replaceRegex(args[0].AsString(), args[1].AsString(), args[2].AsString())
	},
})

func replaceRegex(text, pattern, with string) (cty.Value, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return cty.NilVal, function.NewArgError(1, err)
	}
	return cty.StringVal(re.ReplaceAllString(text, with)), nil
}

func slashed(s string) (string, bool) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		return s[1 : len(s)-1], true
	}
	return "", false
}

func replacePrice(args []cty.Value) (int, int, error) {
	text, with := args[0].AsString(), args[2].AsString()
	if pattern, ok := slashed(args[1].AsString()); ok {
		return regexReplacePrice([]cty.Value{args[0], cty.StringVal(pattern), args[2]})
	}
	n := strings.Count(text, args[1].AsString())
	return n / 16, n * len(with), nil
}

func regexReplacePrice(args []cty.Value) (int, int, error) {
	text, with := args[0].AsString(), args[2].AsString()
	steps, _, err := regexPrice(args[1], args[0])
	groups := strings.Count(with, "$")
	return steps, (len(text)+1)*len(with) + groups*len(text), err
}

// maxPattern bounds a regular expression, written and compiled.
const (
	maxPattern  = 4 << 10
	maxCompiled = 1 << 16
)

// regexPrice charges for a match, whose time grows with the product of the
// compiled expression and the text.
func regexPrice(pattern, text cty.Value) (int, int, error) {
	p := pattern.AsString()
	if len(p) > maxPattern {
		return 0, 0, function.NewArgErrorf(0, "a pattern may have %d bytes at most", maxPattern)
	}
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		return 0, 0, nil // the function tells
	}
	n := compiledSize(re)
	if n > maxCompiled {
		return 0, 0, function.NewArgErrorf(0, "the repetitions in a pattern make it too large")
	}
	return (n*len(text.AsString()))/256 + n/16, 0, nil
}

func compiledSize(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += compiledSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 1<<30)
}
