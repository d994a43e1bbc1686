package scheduler

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"

	version "github.com/hashicorp/go-version"

	"github.com/nomadish/nomadish/nomadish"
)

// Operands that concern the job's other allocations instead of the node alone.
const (
	distinctHosts    = "distinct_hosts"
	distinctProperty = "distinct_property"
)

// check is a compiled constraint on a node.
type check struct {
	text        string // as users write it, for the metrics
	left, right string
	escaped     bool // it looks at what makes a node unique
	match       func(left, right value) bool
}

// value is what a target stands for on a node.
type value struct {
	text string
	set  bool
}

// compile prepares a constraint. Invalid ones match no node.
func compile(c *nomadish.Constraint) check {
	return check{
		text:    constraintText(c),
		left:    c.LTarget,
		right:   c.RTarget,
		escaped: unique(c.LTarget) || unique(c.RTarget),
		match:   matcher(c.Operand, c.RTarget),
	}
}

// constraintText writes a constraint as it is shown in metrics.
func constraintText(c *nomadish.Constraint) string {
	return c.LTarget + " " + c.Operand + " " + c.RTarget
}

// holds says that a node satisfies the constraint.
func (c *check) holds(n *nomadish.Node) bool {
	return c.match(resolve(n, c.left), resolve(n, c.right))
}

// unique says that a target differs between nodes of one class.
func unique(target string) bool {
	return strings.Contains(target, "${node.unique.") || strings.Contains(target, "${attr.unique.") ||
		strings.Contains(target, "${meta.unique.")
}

// resolve returns what a target stands for on a node: the attribute it names, or itself.
func resolve(n *nomadish.Node, target string) value {
	name, ok := strings.CutPrefix(target, "${")
	if !ok || !strings.HasSuffix(name, "}") {
		return value{target, true}
	}
	name = strings.TrimSuffix(name, "}")
	switch name {
	case "node.unique.id":
		return value{n.ID, true}
	case "node.unique.name":
		return value{n.Name, true}
	case "node.datacenter":
		return value{n.Datacenter, true}
	case "node.class":
		return value{n.NodeClass, true}
	case "node.pool":
		return value{cmp.Or(n.NodePool, nomadish.NodePoolDefault), true}
	}
	if key, ok := strings.CutPrefix(name, "attr."); ok {
		text, set := n.Attributes[key]
		return value{text, set}
	}
	if key, ok := strings.CutPrefix(name, "meta."); ok {
		text, set := n.Meta[key]
		return value{text, set}
	}
	return value{}
}

// matcher returns the meaning of an operand. What is costly to read in a literal right side
// is read once.
func matcher(operand, right string) func(l, r value) bool {
	switch operand {
	case "=", "==", "is", "":
		return func(l, r value) bool { return l.set && r.set && l.text == r.text }
	case "!=", "not":
		return func(l, r value) bool { return l != r }
	case "<", "<=", ">", ">=":
		return func(l, r value) bool { return l.set && r.set && ordered(operand, compare(l.text, r.text)) }
	case "is_set":
		return func(l, _ value) bool { return l.set }
	case "is_not_set":
		return func(l, _ value) bool { return !l.set }
	case "set_contains", "set_contains_all":
		return func(l, r value) bool { return l.set && r.set && countIn(l.text, r.text, true) }
	case "set_contains_any":
		return func(l, r value) bool { return l.set && r.set && countIn(l.text, r.text, false) }
	case "regexp":
		return once(right, regexp.Compile, (*regexp.Regexp).MatchString)
	case "version":
		return once(right, version.NewConstraint, func(c version.Constraints, s string) bool {
			v, err := version.NewVersion(s)
			return err == nil && c.Check(v)
		})
	case "semver":
		return once(right, parseSemver, semverRange.holds)
	}
	return func(value, value) bool { return false }
}

// errLongPattern refuses what an attribute of a node makes a pattern of.
var errLongPattern = errors.New("the pattern is too long")

// once makes a matcher of a parser for the right side and a test of the left side against it.
func once[T any](right string, parse func(string) (T, error), test func(T, string) bool) func(l, r value) bool {
	bounded := func(text string) (none T, err error) {
		if len(text) > nomadish.MaxPattern {
			return none, errLongPattern
		}
		return parse(text)
	}
	literal, literalErr := bounded(right)
	return func(l, r value) bool {
		if !l.set || !r.set {
			return false
		}
		parsed, err := literal, literalErr
		if r.text != right {
			parsed, err = bounded(r.text)
		}
		return err == nil && test(parsed, l.text)
	}
}

// compare orders two values: as numbers when both are, else as text.
func compare(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}

// ordered says that the result of a comparison agrees with an operand.
func ordered(operand string, c int) bool {
	switch operand {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "!=":
		return c != 0
	}
	return c == 0
}

// countIn says that the comma-separated set holds all, or any, of the wanted members.
func countIn(set, wanted string, all bool) bool {
	members := map[string]bool{}
	for m := range strings.SplitSeq(set, ",") {
		members[strings.TrimSpace(m)] = true
	}
	for w := range strings.SplitSeq(wanted, ",") {
		if members[strings.TrimSpace(w)] != all {
			return !all
		}
	}
	return all
}

// semverRange is a list of bounds, all of which hold by the precedence of Semantic Versioning
// 2.0: other than with "version", a prerelease can satisfy a bound without one.
type semverRange []semverBound

type semverBound struct {
	op string
	v  *version.Version
}

func parseSemver(s string) (semverRange, error) {
	var r semverRange
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		text := strings.TrimLeft(part, "<>=!~")
		v, err := version.NewSemver(strings.TrimSpace(text))
		if err != nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "semver %q: %w", part, err)
		}
		r = append(r, semverBound{op: part[:len(part)-len(text)], v: v})
	}
	return r, nil
}

func (r semverRange) holds(s string) bool {
	v, err := version.NewSemver(s)
	if err != nil {
		return false
	}
	for _, b := range r {
		if b.op == "~>" {
			if !pessimistic(v, b.v) {
				return false
			}
		} else if !ordered(b.op, v.Compare(b.v)) {
			return false
		}
	}
	return true
}

// pessimistic says that v is at or above the bound and equal to it in all of the segments
// that the bound was written with, but the last one.
func pessimistic(v, bound *version.Version) bool {
	if v.LessThan(bound) {
		return false
	}
	written := strings.Count(strings.SplitN(bound.Original(), "-", 2)[0], ".") + 1
	have, want := v.Segments(), bound.Segments()
	for i := range min(written-1, len(have), len(want)) {
		if have[i] != want[i] {
			return false
		}
	}
	return true
}
