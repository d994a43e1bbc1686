// Package acl holds the language of access policies, and answers what they allow.
//
//	policy, err := acl.Parse(`namespace "web-*" { policy = "read" }`)
//	rights := acl.Compile(policy)
//	rights.Allows(nomadish.PermReadJob, "web-shop", "") // true
//
// A policy is a list of rules, each about a namespace, a node pool, a host volume or something
// that there is only one of, such as the nodes. Names in rules may hold globs: "*" stands for
// any characters, also none. The rules of several policies count together:
//
//   - Rules about the same name, letter by letter, are one rule with the capabilities of all;
//     one that denies leaves it with none.
//   - One rule decides: the one of exactly the name asked for, or else the one whose globs
//     stand for the fewest characters of it. Of several of those, one that denies decides, or
//     else the first by its text.
//   - What no rule gives is not allowed. Policies without rules give nothing.
//
// Everything here is a function of its arguments.
package acl

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// ACL is what some policies allow together: a nomadish.Rights. It does not change.
type ACL struct {
	namespaces  table
	nodePools   table
	hostVolumes table
	single      map[string]caps // of subjects that there is one of
}

var _ nomadish.Rights = (*ACL)(nil)

// Compile returns what policies allow together.
func Compile(policies ...*Policy) *ACL {
	a := &ACL{single: map[string]caps{}}
	for _, p := range policies {
		for _, r := range p.rules {
			switch r.subject {
			case aNamespace:
				a.namespaces.add(r)
			case aNodePool:
				a.nodePools.add(r)
			case aHostVolume:
				a.hostVolumes.add(r)
			default:
				a.single[r.subject] |= r.caps
			}
		}
	}
	a.namespaces.finish()
	a.nodePools.finish()
	a.hostVolumes.finish()
	return a
}

// Management is false: no policy allows everything.
func (a *ACL) Management() bool { return false }

// Allows says whether a permission is given; see nomadish.Rights.
func (a *ACL) Allows(p nomadish.Permission, namespace, name string) bool {
	return a.capabilities(p, namespace, name).has(permissions[p].bit)
}

// Denies says whether a rule denies what a permission is about: then it is not allowed by
// anything else either. Where any namespace or name is asked for, nothing is denied.
func (a *ACL) Denies(p nomadish.Permission, namespace, name string) bool {
	return a.capabilities(p, namespace, name)&denied != 0
}

// capabilities returns what the rule gives that decides about a permission.
func (a *ACL) capabilities(p nomadish.Permission, namespace, name string) caps {
	switch subject := permissions[p].subject; subject {
	case aNamespace:
		if namespace == "*" {
			return a.namespaces.any
		}
		return a.namespaces.find(namespace).given()
	case aVariable:
		if namespace == "*" {
			return a.namespaces.anyInside(name)
		}
		return a.namespaces.find(namespace).inside(name)
	case aNodePool:
		return a.nodePools.capabilities(name)
	case aHostVolume:
		return a.hostVolumes.capabilities(name)
	default:
		return a.single[subject]
	}
}

// entry is a compiled rule about a name.
type entry struct {
	label string
	head  string // of a glob: what comes before its first star
	caps  caps
	paths *table // of variables; nil: none
}

func (e *entry) given() caps {
	if e == nil {
		return 0
	}
	return e.caps
}

// inside returns what is given of a namespace's variables: of one, or of any at all if path
// is empty.
func (e *entry) inside(path string) caps {
	switch {
	case e == nil:
		return 0
	case e.caps&denied != 0:
		return denied
	case e.paths == nil:
		return 0
	}
	return e.paths.capabilities(path)
}

// table finds the rule that decides about a name.
type table struct {
	exact map[string]*entry
	globs []*entry // those that match more letters come first
	any   caps     // given by any rule at all
}

// add joins a rule with those of the same label.
func (t *table) add(r *rule) {
	e := t.exact[r.label]
	if e == nil {
		if t.exact == nil {
			t.exact = map[string]*entry{}
		}
		e = &entry{label: r.label}
		t.exact[r.label] = e
	}
	e.caps |= r.caps
	for _, path := range r.paths {
		if e.paths == nil {
			e.paths = &table{}
		}
		e.paths.add(path)
	}
}

// finish brings the table into the form in which it is asked.
func (t *table) finish() {
	for label, e := range t.exact {
		if e.paths != nil {
			e.paths.finish()
			if e.paths.any != 0 {
				e.caps |= someVariables
			}
		}
		t.any |= e.caps.unlessDenied()
		if head, _, glob := strings.Cut(label, "*"); glob {
			e.head = head
			t.globs = append(t.globs, e)
			delete(t.exact, label)
		}
	}
	slices.SortFunc(t.globs, func(a, b *entry) int {
		return cmp.Or(letters(b.label)-letters(a.label), -cmp.Compare(a.caps&denied, b.caps&denied), strings.Compare(a.label, b.label))
	})
}

// find returns the rule that decides about a name, or nil. No rule is about the empty name.
func (t *table) find(name string) *entry {
	if name == "" {
		return nil
	}
	if e := t.exact[name]; e != nil {
		return e
	}
	for _, e := range t.globs {
		if strings.HasPrefix(name, e.head) && match(e.label[len(e.head):], name[len(e.head):]) {
			return e
		}
	}
	return nil
}

// capabilities returns what is given of a name, or of any name at all if it is empty.
func (t *table) capabilities(name string) caps {
	if name == "" {
		return t.any
	}
	return t.find(name).given()
}

// anyInside returns what any namespace gives of variables.
func (t *table) anyInside(path string) (all caps) {
	for _, e := range t.exact {
		all |= e.inside(path).unlessDenied()
	}
	for _, e := range t.globs {
		all |= e.inside(path).unlessDenied()
	}
	return all
}

// letters counts the characters of a glob that stand for themselves: a name has as many more
// as the glob's stars stand for.
func letters(glob string) int { return len(glob) - strings.Count(glob, "*") }

// match says whether a glob stands for a name.
func match(glob, name string) bool {
	head, rest, more := strings.Cut(glob, "*")
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for more {
		var part string
		if part, rest, more = strings.Cut(rest, "*"); !more {
			return strings.HasSuffix(name, part) // what comes last must be at the end
		}
		at := strings.Index(name, part) // the first place leaves the most for the others
		if at < 0 {
			return false
		}
		name = name[at+len(part):]
	}
	return name == ""
}
