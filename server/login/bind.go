package login

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-bexpr/grammar"

	"github.com/nomadish/nomadish/nomadish"
)

// Grant is what somebody gets who has logged in.
type Grant struct {
	Management bool
	Roles      []string // IDs
	Policies   []string
}

// Known says which roles and policies there are.
type Known interface {
	// Role returns the ID of a role by its ID or name.
	Role(nameOrID string) (id string, ok bool)
	Policy(name string) bool
}

// filterSteps bounds the work of the parser of selectors.
const filterSteps = 10_000

// Bind says what the binding rules of a method give to somebody. A rule whose selector is
// about something that nobody mapped gives nothing.
func Bind(rules []*nomadish.ACLBindingRule, who *Identity, known Known) (Grant, error) {
	var g Grant
	for _, rule := range rules {
		matches, err := selects(rule.Selector, who)
		if err != nil {
			return Grant{}, err
		}
		if !matches {
			continue
		}
		if rule.BindType == nomadish.ACLBindManagement {
			return Grant{Management: true}, nil
		}
		name, ok := fill(rule.BindName, who.names())
		if !ok {
			continue
		}
		switch rule.BindType {
		case nomadish.ACLBindRole:
			if id, ok := known.Role(name); ok {
				g.Roles = append(g.Roles, id)
			}
		case nomadish.ACLBindPolicy:
			if known.Policy(name) {
				g.Policies = append(g.Policies, name)
			}
		}
	}
	return g, nil
}

// selects says whether a selector is about somebody.
func selects(selector string, who *Identity) (bool, error) {
	if selector == "" {
		return true, nil
	}
	e, err := bexpr.CreateEvaluator(selector, bexpr.WithMaxExpressions(filterSteps))
	if err != nil {
		return false, nomadish.Errorf(nomadish.KindInvalid, "selector: %w", err)
	}
	tree, err := grammar.Parse("", []byte(selector), grammar.MaxExpressions(filterSteps))
	if err != nil {
		return false, nomadish.Errorf(nomadish.KindInvalid, "selector: %w", err)
	}
	if expr, ok := tree.(grammar.Expression); !ok || !who.knows(expr, nil) {
		return false, nil
	}
	matches, err := e.Evaluate(who)
	return matches && err == nil, nil
}

// knows says whether an expression is about what the method maps, and nothing else: of what
// nobody knows every "is not" would hold. bound are names that the expression makes itself.
func (who *Identity) knows(expr grammar.Expression, bound []string) bool {
	switch x := expr.(type) {
	case *grammar.UnaryExpression:
		return who.knows(x.Operand, bound)
	case *grammar.BinaryExpression:
		return who.knows(x.Left, bound) && who.knows(x.Right, bound)
	case *grammar.MatchExpression:
		return who.has(x.Selector.Path, bound)
	case *grammar.CollectionExpression:
		names := append(slices.Clone(bound), x.NameBinding.Default, x.NameBinding.Index, x.NameBinding.Value)
		return who.has(x.Selector.Path, bound) && who.knows(x.Inner, names)
	}
	return false
}

// has says whether there is something at a path.
func (who *Identity) has(path []string, bound []string) bool {
	if len(path) > 0 && path[0] != "" && slices.Contains(bound, path[0]) {
		return true
	}
	if len(path) != 2 {
		return false
	}
	switch path[0] {
	case "value":
		_, there := who.Value[path[1]]
		return there
	case "list":
		_, there := who.List[path[1]]
		return there
	}
	return false
}

// names are what names may refer to.
func (who *Identity) names() map[string]string {
	all := make(map[string]string, len(who.Value))
	for name, value := range who.Value {
		all["value."+name] = value
	}
	return all
}

var reference = regexp.MustCompile(`\$\{[^}]*\}`)

// fill puts values in place of the references ${NAME} of a text. It returns false where one
// has no value, or an empty one: "team-" is not the name that somebody without a team should
// have.
func fill(text string, values map[string]string) (string, bool) {
	ok := true
	filled := reference.ReplaceAllStringFunc(text, func(ref string) string {
		value := values[strings.TrimSpace(ref[2:len(ref)-1])]
		ok = ok && value != ""
		return value
	})
	return filled, ok
}

// TokenName is the name of a token that a login makes.
func TokenName(m *nomadish.ACLAuthMethod, who *Identity) string {
	values := who.names()
	values["auth_method_type"], values["auth_method_name"] = m.Type, m.Name
	name, _ := fill(m.TokenNameFormat, values)
	return name
}
