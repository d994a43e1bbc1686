package jobspec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxFile bounds a file that an expression reads.
const maxFile = 8 << 20

var errNoFiles = errors.New("filesystem function disabled")

// disk is what file functions see: paths are looked up beside the job file
// first, then in the working directory. Over the API it is closed.
type disk struct {
	base string
	open bool
}

func (ev *evaluator) fileFunctions(cfg Config) map[string]entry {
	d := disk{cfg.BaseDir, cfg.AllowFS}
	return map[string]entry{
		"abspath":      {function: mapText(d.absolute)},
		"basename":     {function: mapText(func(s string) (string, error) { return filepath.Base(s), nil })},
		"dirname":      {function: mapText(func(s string) (string, error) { return filepath.Dir(s), nil })},
		"file":         {function: mapText(d.read)},
		"fileexists":   {function: d.existsFunction()},
		"fileset":      {function: d.setFunction()},
		"pathexpand":   {function: mapText(d.expand)},
		"templatefile": {function: ev.templateFunction(d)},
	}
}

// find returns the path of a file that is there, or the first place it was
// looked for.
func (d disk) find(name string) (string, error) {
	if !d.open {
		return "", errNoFiles
	}
	name, err := d.expand(name)
	if err != nil {
		return "", err
	}
	beside := filepath.Join(d.base, name)
	if filepath.IsAbs(name) {
		return name, nil
	}
	if _, err := os.Stat(beside); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(name); err == nil {
			return name, nil
		}
	}
	return beside, nil
}

// expand puts the home directory in place of a leading tilde.
func (d disk) expand(name string) (string, error) {
	if !d.open {
		return "", errNoFiles
	}
	rest, ok := strings.CutPrefix(name, "~")
	if !ok || rest != "" && !os.IsPathSeparator(rest[0]) {
		return name, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("home directory: %w", err)
	}
	return home + rest, nil
}

func (d disk) absolute(name string) (string, error) {
	if !d.open {
		return "", errNoFiles // it would tell where the server runs
	}
	return filepath.Abs(name)
}

func (d disk) read(name string) (string, error) {
	path, err := d.find(name)
	if err != nil {
		return "", err
	}
	b, err := readFile(path)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%s is no UTF-8 text", path)
	}
	return string(b), nil
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return b, nil
}

func (d disk) existsFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			path, err := d.find(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			info, err := os.Stat(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return cty.False, nil
			case err != nil:
				return cty.NilVal, err
			case !info.Mode().IsRegular():
				return cty.NilVal, fmt.Errorf("%s is no regular file", path)
			}
			return cty.True, nil
		},
	})
}

// setFunction lists the files below a directory that match a pattern.
func (d disk) setFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			dir, err := d.find(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			found, err := matchFiles(dir, filepath.ToSlash(args[1].AsString()))
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			if len(found) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			return cty.SetVal(found), nil
		},
	})
}

// maxMatches bounds the files that fileset may find.
const maxMatches = 10_000

func matchFiles(dir, pattern string) ([]cty.Value, error) {
	if !doublestar.ValidatePattern(pattern) {
		return nil, doublestar.ErrBadPattern
	}
	var found []cty.Value
	err := doublestar.GlobWalk(os.DirFS(dir), pattern, func(path string, entry fs.DirEntry) error {
		if !entry.Type().IsRegular() {
			return nil
		}
		if len(found) == maxMatches {
			return fmt.Errorf("more than %d files match", maxMatches)
		}
		found = append(found, cty.StringVal(path))
		return nil
	})
	return found, err
}

// templateFunction renders a file with variables of its own.
func (ev *evaluator) templateFunction(d disk) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.DynamicPseudoType), // known once it is rendered
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return ev.renderFile(d, args[0].AsString(), args[1])
		},
	})
}

func (ev *evaluator) renderFile(d disk, name string, vars cty.Value) (cty.Value, error) {
	text, err := d.read(name)
	if err != nil {
		return cty.DynamicVal, function.NewArgError(0, err)
	}
	if t := vars.Type(); !t.IsMapType() && !t.IsObjectType() {
		return cty.DynamicVal, function.NewArgErrorf(1, "invalid vars value: must be a map")
	}
	ctx := &hcl.EvalContext{Variables: vars.AsValueMap(), Functions: ev.templateFunctions()}
	v, diags := ev.parseTemplate(name, []byte(text), hcl.InitialPos, ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return v, nil
}

// templateFunctions are all but templatefile, so that files can't render one
// another without end.
func (ev *evaluator) templateFunctions() map[string]function.Function {
	table := maps.Clone(ev.functions)
	table["templatefile"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.NilType, errors.New("cannot recursively call templatefile from inside templatefile call")
		},
	})
	return table
}
