package jobspec

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"
)

// What the expressions of one job file may cost in total. They are counted, not
// timed, so that a file which is read here is read everywhere.
const (
	maxSteps    = 1 << 18  // values made or looked at; some are charged more than one
	maxBytes    = 16 << 20 // bytes of the strings among them
	maxExponent = 1 << 14  // binary exponent of a number
)

// budget is what the expressions of a file may still cost. Once it is used up
// it stays so, and every further charge fails: neither try nor can hides that.
type budget struct {
	steps int
	bytes int
	err   error
}

func newBudget() *budget {
	return &budget{steps: maxSteps, bytes: maxBytes}
}

var (
	errSteps = fmt.Errorf("the expressions of this file cost too much: they make more than %d values", maxSteps)
	errBytes = fmt.Errorf("the expressions of this file cost too much: they make more than %d MiB of text", maxBytes>>20)
	errRange = errors.New("a number is out of range")
)

// spend charges steps and bytes.
func (b *budget) spend(steps, bytes int) error {
	if b.err != nil {
		return b.err
	}
	switch {
	case steps < 0 || steps > b.steps:
		b.err = errSteps
	case bytes < 0 || bytes > b.bytes:
		b.err = errBytes
	default:
		b.steps -= steps
		b.bytes -= bytes
	}
	return b.err
}

// charge charges everything inside a value, each part as often as it occurs. It
// stops where the budget ends, so it is safe on values that share their parts
// and would be huge if they were written out.
func (b *budget) charge(v cty.Value) error {
	if err := b.spend(1, 0); err != nil {
		return err
	}
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return nil
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		n := len(v.AsString())
		return b.spend(n/64, n)
	case ty == cty.Number:
		return checkNumber(v.AsBigFloat())
	case v.CanIterateElements():
		if err := b.spend(v.LengthInt(), 0); err != nil {
			return err
		}
		for it := v.ElementIterator(); it.Next(); {
			key, elem := it.Element()
			if key.Type() == cty.String {
				if err := b.spend(1, len(key.AsString())); err != nil {
					return err
				}
			}
			if err := b.charge(elem); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNumber refuses numbers that are small in memory and huge in decimal.
func checkNumber(f *big.Float) error {
	if e := f.MantExp(nil); f.IsInf() || e > maxExponent || e < -maxExponent {
		return errRange
	}
	return nil
}
