package fsm

import "github.com/nomadish/nomadish/server/state"

// DeleteVariable removes a variable that is not locked. One that does not exist is gone already.
type DeleteVariable struct {
	Namespace  string
	Path       string
	CheckIndex *uint64 // not nil: refuse unless this is the variable's ModifyIndex
}

// Kind implements Command.
func (*DeleteVariable) Kind() Kind { return KindDeleteVariable }

// Apply implements Command.
func (c *DeleteVariable) Apply(w *state.Writer) (any, error) {
	old, err := variable(w, c.Namespace, c.Path)
	if err != nil {
		return nil, err
	}
	if refused := refusal(old, c.CheckIndex, ""); refused != NotRefused {
		return &VariableResult{Refused: refused, Variable: old}, nil
	}
	return &VariableResult{}, w.DeleteVariable(c.Namespace, c.Path)
}
