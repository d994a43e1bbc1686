package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// opKind says what a client asked for.
type opKind string

// What clients ask for.
const (
	set       opKind = "set"
	cas       opKind = "cas"
	remove    opKind = "delete"
	read      opKind = "read"
	readStale opKind = "stale read"
	setJob    opKind = "set job"
	casJob    opKind = "cas job"
	readJob   opKind = "read job"
)

// outcome says what a client was told.
type outcome string

// What clients are told.
const (
	done       outcome = "done"
	conflicted outcome = "conflict" // it compared, and did not set
	refused    outcome = "refused"  // it was not done and won't be
	unknown    outcome = "unknown"
)

// operation is one request and its answer.
type operation struct {
	Client  int
	Kind    opKind
	Key     string
	Value   string `json:",omitempty"` // to be written
	Expect  uint64 `json:",omitempty"` // to be compared with
	Request string `json:",omitempty"` // its ID
	Server  string
	Call    time.Duration
	Return  time.Duration
	Outcome outcome
	Seen    seen   // what a read showed, or a write has made
	Error   string `json:",omitempty"`
}

func (o *operation) writes() bool {
	switch o.Kind {
	case set, cas, remove, setJob, casJob:
		return true
	}
	return false
}

// counter is under what an operation is counted.
func (o *operation) counter() string {
	switch {
	case o.Outcome == unknown:
		return "unknown outcomes"
	case o.Outcome == refused:
		return "refused requests"
	case o.Outcome == conflicted:
		return "conflicts"
	case o.writes():
		return "acknowledged writes"
	case o.Kind == readStale:
		return "stale reads"
	}
	return "reads"
}

// history is what all clients asked for and were told.
type history struct {
	mu  sync.Mutex
	ops []*operation
}

func (h *history) add(op *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// all returns the operations in the order in which they began.
func (h *history) all() []*operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(h.ops), func(a, b *operation) int { return cmp.Compare(a.Call, b.Call) })
}

// forever is when an operation returns that nobody saw return.
const forever = int64(1) << 60

// linearCheck bounds what one key may cost, which an illegal history makes expensive.
const linearCheck = 20 * time.Second

// linearize checks that each key's history can have happened one operation at a time (I2). committed is, by
// value, the index at which a write was seen in the state; a write that nobody saw end and that nobody saw
// the effect of explains nothing, and is left out.
func (w *world) linearize(committed map[string]uint64) {
	shown := map[string]seen{} // by key and value
	byKey := map[string][]*operation{}
	for _, op := range w.history.all() {
		if op.Outcome == refused || op.Kind == readStale {
			continue
		}
		if op.Seen.value != "" {
			shown[op.Key+" "+op.Seen.value] = op.Seen
		}
		byKey[op.Key] = append(byKey[op.Key], op)
	}
	for key, ops := range byKey {
		var linear []porcupine.Operation
		for _, op := range ops {
			if in, ok := input(op, shown, committed); ok {
				linear = append(linear, in)
			}
		}
		switch porcupine.CheckOperationsTimeout(register, linear, linearCheck) {
		case porcupine.Illegal:
			w.violate("I2", "the history of %s can't have happened one operation at a time%s", key, firstIllegal(linear))
		case porcupine.Unknown:
			w.violate("I2", "the history of %s, of %d operations, takes too long to check", key, len(linear))
		}
	}
}

// input makes an operation of one of the history, if it says anything.
func input(op *operation, shown map[string]seen, committed map[string]uint64) (porcupine.Operation, bool) {
	in := porcupine.Operation{ClientId: op.Client, Input: *op, Call: int64(op.Call), Return: int64(op.Return)}
	if op.Outcome != unknown {
		return in, true
	}
	if !op.writes() {
		return in, false
	}
	in.Return = forever
	if op.Kind == remove {
		return in, true
	}
	known, ok := shown[op.Key+" "+op.Value]
	if index := committed[op.Key+" "+op.Value]; index > 0 {
		known, ok = seen{index, op.Value}, true
	}
	happened := *op
	happened.Outcome, happened.Seen = done, known
	in.Input = happened
	return in, ok
}

// firstIllegal says with which operation a history becomes impossible.
func firstIllegal(ops []porcupine.Operation) string {
	from, to := 0, len(ops)
	for from < to {
		mid := (from + to) / 2
		if porcupine.CheckOperationsTimeout(register, ops[:mid+1], linearCheck/10) == porcupine.Ok {
			from = mid + 1
		} else {
			to = mid
		}
	}
	if from == len(ops) {
		return ""
	}
	op := ops[from].Input.(operation)
	return fmt.Sprintf(": first with %s %q by c%d at %s (%s to %s): %s %+v", op.Kind, op.Value, op.Client, op.Server, op.Call, op.Return, op.Outcome, op.Seen)
}

// register is the model of a key: the value that was written last, and the index of that write; index 0 is
// a key that is not there. Indexes only go up.
var register = porcupine.Model{
	Init: func() any { return content{} },
	Step: func(before, input, _ any) (bool, any) {
		s, op := before.(content), input.(operation)
		switch op.Outcome {
		case conflicted:
			if op.Kind == casJob { // the answer does not show the job
				return op.Expect != s.index, s
			}
			return op.Expect != s.index && op.Seen == s.seen, s
		case unknown: // a removal
			return true, content{last: s.last}
		}
		switch op.Kind {
		case read, readJob:
			return op.Seen == s.seen, s
		case remove:
			return true, content{last: s.last}
		case cas, casJob:
			if op.Expect != s.index {
				return false, s
			}
		}
		return op.Seen.index > s.last, content{seen: op.Seen, last: op.Seen.index}
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string { return strings.TrimSpace(fmt.Sprintf("%+v", input)) },
}

// content is what a register holds.
type content struct {
	seen
	last uint64 // index of the newest write
}
