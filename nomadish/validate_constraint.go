package nomadish

import (
	"regexp"
	"strconv"

	version "github.com/hashicorp/go-version"
)

func validateConstraints(f *faults, list []*Constraint) {
	for i, c := range list {
		inner := f.at("Constraints[%d]", i)
		c.validate(inner)
		f.under(inner, "Constraint %d validation failed: ", i+1)
	}
}

func (c *Constraint) validate(f *faults) {
	needsAttribute := true
	switch c.Operand {
	case "":
		f.add("Operand", "Missing constraint operand")
	case OperandDistinctHosts:
		needsAttribute = false
		if c.RTarget != "" {
			if _, err := strconv.ParseBool(c.RTarget); err != nil {
				f.add("RTarget", "Failed to convert RTarget %q to bool: %v", c.RTarget, err)
			}
		}
	case OperandDistinctProperty:
		if c.RTarget != "" {
			n, err := strconv.ParseUint(c.RTarget, 10, 64)
			if err != nil {
				f.add("RTarget", "Failed to convert RTarget %q to uint64: %v", c.RTarget, err)
			} else if n < 1 {
				f.add("RTarget", "Distinct Property must have an allowed count of 1 or greater: %d < 1", n)
			}
		}
	case OperandIsSet, OperandIsNotSet:
		f.check(c.RTarget != "", "RTarget", "Operator %q does not support an RTarget", c.Operand)
	default:
		validateOperand(f, "constraint", "Unknown constraint type %q", c.Operand, c.RTarget)
	}
	f.check(needsAttribute && c.LTarget == "", "LTarget", "No LTarget provided but is required by constraint")
}

// MaxPattern is the longest regular expression or version constraint that is read, in bytes. A
// longer one takes memory and time out of proportion.
const MaxPattern = 4 << 10

// validateOperand checks the operators that constraints and affinities share.
func validateOperand(f *faults, what, unknown, operand, value string) {
	switch operand {
	case OperandRegexp, OperandVersion, OperandSemver:
		if len(value) > MaxPattern {
			f.add("RTarget", "%d bytes are more than a pattern may have, %d", len(value), MaxPattern)
			return
		}
	}
	switch operand {
	case OperandSetContains, OperandSetContainsAll, OperandSetContainsAny:
		f.check(value == "", "RTarget", "Set contains %s requires an RTarget", what)
	case OperandRegexp:
		if _, err := regexp.Compile(value); err != nil {
			f.add("RTarget", "Regular expression failed to compile: %v", err)
		}
	case OperandVersion:
		if _, err := version.NewConstraint(value); err != nil {
			f.add("RTarget", "Version %s is invalid: %v", what, err)
		}
	case OperandSemver:
		if _, err := version.NewConstraint(value); err != nil {
			f.add("RTarget", "Semver %s is invalid: %v", what, err)
		}
	case "=", "==", "is", "!=", "not", "<", "<=", ">", ">=":
		f.check(value == "", "RTarget", "Operator %q requires an RTarget", operand)
	default:
		f.add("Operand", unknown, operand)
	}
}

func (a *Affinity) validate(f *faults) {
	if a.Operand == "" {
		f.add("Operand", "Missing affinity operand")
	} else {
		validateOperand(f, "affinity", "Unknown affinity operator %q", a.Operand, a.RTarget)
	}
	f.check(a.LTarget == "", "LTarget", "No LTarget provided but is required by affinity")
	w := Val(a.Weight)
	f.check(w < -100 || w > 100, "Weight", "Affinity weight must be within the range [-100,100]")
	f.check(w == 0, "Weight", "Affinity weight cannot be zero")
}

func (s *Spread) validate(f *faults) {
	f.check(s.Attribute == "", "Attribute", "Missing spread attribute")
	w := Val(s.Weight)
	f.check(w < 0 || w > 100, "Weight", "Spread block must have a positive weight from 0 to 100")
	seen := map[string]bool{}
	sum := 0
	for _, t := range s.SpreadTarget {
		f.check(seen[t.Value], "SpreadTarget", "Spread target value %q already defined", t.Value)
		f.check(t.Percent > 100, "SpreadTarget", "Spread target percentage for value %q must be between 0 and 100", t.Value)
		seen[t.Value] = true
		sum += int(t.Percent)
	}
	f.check(sum > 100, "SpreadTarget", "Sum of spread target percentages must not be greater than 100%%; got %d%%", sum)
}
