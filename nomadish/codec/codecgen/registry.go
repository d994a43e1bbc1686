package main

import (
	"fmt"
	"sort"
	"strings"
)

const registryHead = `# Field numbers of the binary encoding; written by codecgen. A number is given once,
# for ever: never change a line. "removed" marks numbers that are not to be used again.
`

// registry holds the field numbers of all types, present and past.
type registry struct {
	types map[string]map[string]*entry // type, field
}

type entry struct {
	number  int
	shape   string
	removed bool
}

// parseRegistry reads lines of the form "Type.Field number shape [removed]".
func parseRegistry(text string) (*registry, error) {
	reg := &registry{types: map[string]map[string]*entry{}}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var name, shape, removed string
		var number int
		n, _ := fmt.Sscan(line, &name, &number, &shape, &removed)
		typ, field, ok := strings.Cut(name, ".")
		if n < 3 || !ok {
			return nil, fmt.Errorf("line %d: want \"Type.Field number shape\"", i+1)
		}
		if reg.types[typ] == nil {
			reg.types[typ] = map[string]*entry{}
		}
		reg.types[typ][field] = &entry{number: number, shape: shape, removed: removed != ""}
	}
	return reg, nil
}

// assign gives each field its number, the next one if it is new, and marks what is gone.
func (reg *registry) assign(records []*record) error {
	live := map[*entry]bool{}
	for _, r := range records {
		known := reg.types[r.name]
		if known == nil {
			known = map[string]*entry{}
			reg.types[r.name] = known
		}
		next := 1
		for _, e := range known {
			next = max(next, e.number+1)
		}
		for _, f := range r.fields {
			shape, err := shape(f.typ, true)
			if err != nil {
				return err
			}
			e := known[f.name]
			switch {
			case e == nil:
				e = &entry{number: next, shape: shape}
				known[f.name] = e
				next++
			case e.removed:
				return fmt.Errorf("%s.%s was removed; a field that comes back needs another name", r.name, f.name)
			case e.shape != shape:
				return fmt.Errorf("%s.%s is encoded as %s and would become %s; give the new field another name", r.name, f.name, e.shape, shape)
			}
			f.number = e.number
			live[e] = true
		}
		sort.Slice(r.fields, func(i, j int) bool { return r.fields[i].number < r.fields[j].number })
	}
	for _, fields := range reg.types {
		for _, e := range fields {
			e.removed = !live[e]
		}
	}
	return nil
}

// String writes the registry in the form that parseRegistry reads.
func (reg *registry) String() string {
	var b strings.Builder
	b.WriteString(registryHead)
	types := make([]string, 0, len(reg.types))
	for t := range reg.types {
		types = append(types, t)
	}
	sort.Strings(types)
	for _, t := range types {
		fields := make([]string, 0, len(reg.types[t]))
		for f := range reg.types[t] {
			fields = append(fields, f)
		}
		sort.Slice(fields, func(i, j int) bool { return reg.types[t][fields[i]].number < reg.types[t][fields[j]].number })
		for _, f := range fields {
			e := reg.types[t][f]
			fmt.Fprintf(&b, "%s.%s %d %s", t, f, e.number, e.shape)
			if e.removed {
				b.WriteString(" removed")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
