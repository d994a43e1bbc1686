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
	stepsNumber = 8        // steps that a number is charged; writing one is slow
	stepsError  = 64       // steps that an error is charged, which is kept with its context
	maxExponent = 1 << 14  // binary exponent of a number
	maxDigits   = 1 << 14  // digits of a number in a text; reading one takes the square of them
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
	errSteps  = fmt.Errorf("the expressions of this file cost too much: they make more than %d values", maxSteps)
	errBytes  = fmt.Errorf("the expressions of this file cost too much: they make more than %d MiB of text", maxBytes>>20)
	errRange  = errors.New("a number is out of range")
	errDigits = fmt.Errorf("a number may have %d digits at most", maxDigits)
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
		text := v.AsString()
		if len(text) > maxDigits && numberLength(text) == len(text) {
			return errDigits // it may be converted to a number, unseen
		}
		return b.spend(len(text)/64, len(text))
	case ty == cty.Number:
		if err := b.spend(stepsNumber, 0); err != nil {
			return err
		}
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

// numberLength is the length of the number that a text begins with, or could.
func numberLength[T string | []byte](text T) int {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c|0x20 != 'e' {
			return i
		}
	}
	return len(text)
}

// longNumber reports whether there is a number in a text that is too long to read.
func longNumber(text string) bool {
	for len(text) > maxDigits {
		if n := numberLength(text); n > maxDigits {
			return true
		} else {
			text = text[n+1:]
		}
	}
	return false
}

// chargeUnify charges for finding the one type that all elements of a value
// convert to, which takes the library the square of their number.
func (b *budget) chargeUnify(t cty.Type) error {
	switch {
	case t.IsTupleType():
		types := t.TupleElementTypes()
		if err := b.spend(len(types)*len(types)/128, 0); err != nil {
			return err
		}
		for _, elem := range types {
			if err := b.chargeUnify(elem); err != nil {
				return err
			}
		}
	case t.IsObjectType():
		types := t.AttributeTypes()
		if err := b.spend(len(types)*len(types)/128, 0); err != nil {
			return err
		}
		for _, elem := range types {
			if err := b.chargeUnify(elem); err != nil {
				return err
			}
		}
	case t.IsCollectionType():
		return b.chargeUnify(t.ElementType())
	}
	return nil
}

// collect makes a list of a tuple, or a map of an object, whose elements have one
// primitive type anyway, which spares the search for that type.
func collect(v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() || !v.Type().IsTupleType() && !v.Type().IsObjectType() || v.LengthInt() == 0 {
		return v
	}
	var one cty.Type
	for it := v.ElementIterator(); it.Next(); {
		_, elem := it.Element()
		t := elem.Type()
		if one == cty.NilType {
			one = t
		}
		if !t.IsPrimitiveType() || t != one {
			return v
		}
	}
	if v.Type().IsTupleType() {
		return cty.ListVal(v.AsValueSlice())
	}
	return cty.MapVal(v.AsValueMap())
}
