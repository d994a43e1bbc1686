package nomadish

import (
	"strings"
	"testing"
)

// A pattern of the limit is taken, one that is a byte longer is refused before it is read, in
// constraints and affinities; what expands beyond measure is refused, too.
func TestPatternsAreBounded(t *testing.T) {
	long := strings.Repeat("a", MaxPattern)
	for _, tt := range []struct {
		name, operand, pattern, want string
	}{
		{"regexp to the limit", OperandRegexp, long, ""},
		{"regexp one beyond", OperandRegexp, long + "a", "more than a pattern may have"},
		{"version one beyond", OperandVersion, ">= 1." + long, "more than a pattern may have"},
		{"semver one beyond", OperandSemver, ">= 1." + long, "more than a pattern may have"},
		{"repeated repetitions", OperandRegexp, "((((a{100}){100}){100}){100}){100}", "failed to compile"},
		{"other operands", "=", long + "a", ""},
	} {
		job := validJob()
		job.Constraints = []*Constraint{{LTarget: "${attr.kernel.name}", RTarget: tt.pattern, Operand: tt.operand}}
		text := ""
		if err := job.Validate(); err != nil {
			text = err.Error()
		}
		if got := strings.Contains(text, tt.want); !got || tt.want == "" && strings.Contains(text, "RTarget") {
			t.Errorf("%s: %.300s, want %q", tt.name, text, tt.want)
		}
	}
}
