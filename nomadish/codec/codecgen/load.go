package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
)

// source is a package whose types are known, as far as they matter here.
type source struct {
	*types.Package
	fset *token.FileSet
}

// record is a struct type that gets methods.
type record struct {
	name   string
	file   string // base name of the file that declares it
	named  *types.Named
	fields []*field
}

type field struct {
	name   string
	typ    types.Type
	number int
}

// load reads the types of the package in dir. Packages of the same module are read from
// source. Of others only time.Time and time.Duration are known.
func load(dir string) (*source, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, module, err := findModule(abs)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil {
		return nil, err
	}
	im := &moduleImporter{root: root, module: module, fset: token.NewFileSet(), known: map[string]*types.Package{}}
	pkg, err := im.Import(path.Join(module, filepath.ToSlash(rel)))
	if err != nil {
		return nil, err
	}
	return &source{Package: pkg, fset: im.fset}, nil
}

// findModule returns the directory and the path of the module around dir.
func findModule(dir string) (root, module string, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		b, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil {
			line, _, _ := strings.Cut(string(b), "\n")
			return d, strings.TrimSpace(strings.TrimPrefix(line, "module")), nil
		}
		if d == filepath.Dir(d) {
			return "", "", fmt.Errorf("no go.mod above %s", dir)
		}
	}
}

// moduleImporter type-checks packages of one module, without function bodies and without
// the code that this program generates.
type moduleImporter struct {
	root, module string
	fset         *token.FileSet
	known        map[string]*types.Package
}

// Import implements types.Importer.
func (im *moduleImporter) Import(path string) (*types.Package, error) {
	if pkg, ok := im.known[path]; ok {
		return pkg, nil
	}
	if path == "time" {
		im.known[path] = timePackage()
		return im.known[path], nil
	}
	rel, ok := strings.CutPrefix(path, im.module)
	if !ok {
		pkg := types.NewPackage(path, filepath.Base(path))
		pkg.MarkComplete()
		im.known[path] = pkg
		return pkg, nil
	}
	files, err := im.parse(filepath.Join(im.root, filepath.FromSlash(rel)))
	if err != nil {
		return nil, err
	}
	conf := types.Config{
		Importer:         im,
		IgnoreFuncBodies: true,
		FakeImportC:      true,
		Error:            func(error) {}, // names of packages that are not read stay unknown
	}
	pkg, _ := conf.Check(path, im.fset, files, nil)
	im.known[path] = pkg
	return pkg, nil
}

func (im *moduleImporter) parse(dir string) ([]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, p := range paths {
		base := filepath.Base(p)
		if strings.HasSuffix(base, "_test.go") || strings.HasPrefix(base, "zz_codec_") {
			continue
		}
		f, err := parser.ParseFile(im.fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// timePackage declares the two types of package time that records hold.
func timePackage() *types.Package {
	pkg := types.NewPackage("time", "time")
	declare := func(name string, t types.Type) {
		obj := types.NewTypeName(token.NoPos, pkg, name, nil)
		types.NewNamed(obj, t, nil)
		pkg.Scope().Insert(obj)
	}
	word := types.Typ[types.Int64]
	declare("Duration", word)
	declare("Time", types.NewStruct([]*types.Var{types.NewField(token.NoPos, pkg, "words", types.NewArray(word, 3), false)}, nil))
	pkg.MarkComplete()
	return pkg
}

// records returns the named types and all struct types of the package that they contain,
// by name.
func (s *source) records(names []string) ([]*record, error) {
	found := map[string]*record{}
	for _, n := range names {
		obj := s.Scope().Lookup(n)
		if obj == nil {
			return nil, fmt.Errorf("type %s does not exist", n)
		}
		if err := s.collect(obj.Type(), found); err != nil {
			return nil, err
		}
	}
	all := make([]*record, 0, len(found))
	for _, r := range found {
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// collect adds the struct types of this package that t contains.
func (s *source) collect(t types.Type, found map[string]*record) error {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return s.collect(t.Elem(), found)
	case *types.Slice:
		return s.collect(t.Elem(), found)
	case *types.Map:
		return s.collect(t.Elem(), found)
	case *types.Named:
		st, ok := t.Underlying().(*types.Struct)
		if !ok {
			return s.collect(t.Underlying(), found)
		}
		name := t.Obj().Name()
		if t.Obj().Pkg() != s.Package || found[name] != nil {
			return nil
		}
		r := &record{name: name, named: t, file: filepath.Base(s.fset.Position(t.Obj().Pos()).Filename)}
		found[name] = r
		return s.fields(r, st, found)
	}
	return nil
}

// fields fills r.fields and collects their types.
func (s *source) fields(r *record, st *types.Struct, found map[string]*record) error {
	for i := range st.NumFields() {
		v := st.Field(i)
		if !v.Exported() || reflect.StructTag(st.Tag(i)).Get("codec") == "-" {
			continue
		}
		if _, err := shape(v.Type(), true); err != nil {
			return fmt.Errorf("%s.%s: %w", r.name, v.Name(), err)
		}
		r.fields = append(r.fields, &field{name: v.Name(), typ: v.Type()})
		if err := s.collect(v.Type(), found); err != nil {
			return err
		}
	}
	return nil
}
