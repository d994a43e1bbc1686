package hooks

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Signer asks the servers for identities of this node's tasks. Each request is answered for
// itself, in their order.
type Signer interface {
	SignIdentities(ctx context.Context, requests []nomadish.IdentityRequest) ([]nomadish.SignedIdentity, error)
}

// Bounds of asking the servers.
const (
	signPause    = 500 * time.Millisecond // after the first failure, doubled with each one
	signMaxPause = 30 * time.Second
	signTries    = 10 // refusals after which a start fails; servers that are away are waited for
)

// identities gives the task those of its identities that it is to see, in its environment or
// in files, and renews them while it runs. Only the servers sign, each time anew: nothing of
// an identity but its times is kept on disk, besides the files that the job asks for.
type identities struct {
	signer Signer // nil: this node has none
	now    func() time.Time

	mu   *sync.Mutex
	kept map[string]map[string]nomadish.SignedIdentity // by task, then by the identity's name
}

func newIdentities(signer Signer, now func() time.Time) identities {
	return identities{signer: signer, now: now, mu: new(sync.Mutex), kept: map[string]map[string]nomadish.SignedIdentity{}}
}

func (identities) Name() string { return "identity" }

// exposed are the identities that a task is to see.
func exposed(t *nomadish.Task) []*nomadish.WorkloadIdentity {
	var out []*nomadish.WorkloadIdentity
	all := t.Identities
	if t.Identity != nil {
		all = append([]*nomadish.WorkloadIdentity{t.Identity}, all...)
	}
	for _, id := range all {
		if id.Env || id.File {
			out = append(out, id)
		}
	}
	return out
}

func (h identities) Prepare(ctx context.Context, s *task.Setup) error {
	wanted := exposed(s.Task)
	if len(wanted) == 0 {
		return nil
	}
	if h.signer == nil {
		return &task.InvalidError{Err: errors.New("this node has no servers that sign identities")}
	}
	signed, err := h.signAtStart(ctx, s, wanted)
	if err != nil {
		return drivers.Recoverable(err)
	}
	for _, id := range wanted {
		if id.Env {
			s.Spec.Env[tokenVariable(id)] = signed[id.Name].JWT.Reveal()
		}
	}
	if err := h.put(s, wanted, signed); err != nil {
		return drivers.Recoverable(err)
	}
	return nil
}

// tokenVariable is the variable that an identity is in.
func tokenVariable(id *nomadish.WorkloadIdentity) string {
	if id.Name == nomadish.DefaultIdentity {
		return "NOMAD_TOKEN"
	}
	return "NOMAD_TOKEN_" + cleanName(id.Name)
}

// signAtStart waits for servers that are away, unless what this agent has from them before
// is still good.
func (h identities) signAtStart(ctx context.Context, s *task.Setup, wanted []*nomadish.WorkloadIdentity) (map[string]nomadish.SignedIdentity, error) {
	pause := signPause
	for try := 1; ; try++ {
		signed, err := h.sign(ctx, s, wanted)
		if err == nil {
			return signed, nil
		}
		var refused *refusedIdentityError
		if errors.As(err, &refused) && try == signTries {
			return nil, err
		}
		if kept := h.good(s, wanted); kept != nil {
			return kept, nil
		}
		if try == 1 {
			s.Emit(task.MessageEvent("waiting for the servers to sign identities: " + err.Error()))
		}
		if err := lifecycle.Sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, signMaxPause)
	}
}

// refusedIdentityError says that the servers won't sign an identity.
type refusedIdentityError struct{ name, reason string }

func (e *refusedIdentityError) Error() string {
	return fmt.Sprintf("identity %q: %s", e.name, e.reason)
}

// sign asks for identities once, and keeps them.
func (h identities) sign(ctx context.Context, s *task.Setup, wanted []*nomadish.WorkloadIdentity) (map[string]nomadish.SignedIdentity, error) {
	requests := make([]nomadish.IdentityRequest, len(wanted))
	for i, id := range wanted {
		requests[i] = nomadish.IdentityRequest{AllocationID: s.Alloc.ID, Task: s.Task.Name, Identity: id.Name}
	}
	answers, err := h.signer.SignIdentities(ctx, requests)
	if err != nil {
		return nil, err
	}
	if len(answers) != len(wanted) {
		return nil, fmt.Errorf("%d identities were asked for and %d came back", len(wanted), len(answers))
	}
	signed := map[string]nomadish.SignedIdentity{}
	for i, id := range wanted {
		if answers[i].Error != "" || answers[i].JWT == "" {
			return nil, &refusedIdentityError{id.Name, answers[i].Error}
		}
		signed[id.Name] = answers[i]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := maps.Clone(h.kept[networkID(s)])
	if kept == nil {
		kept = map[string]nomadish.SignedIdentity{}
	}
	maps.Copy(kept, signed)
	h.kept[networkID(s)] = kept
	return signed, nil
}

// good returns what is known of the identities if all of them are still valid, or nil.
func (h identities) good(s *task.Setup, wanted []*nomadish.WorkloadIdentity) map[string]nomadish.SignedIdentity {
	kept := h.known(s)
	for _, id := range wanted {
		k, ok := kept[id.Name]
		if !ok || k.JWT == "" || k.Expires != 0 && !h.now().Before(time.Unix(k.Expires, 0)) {
			return nil
		}
	}
	return kept
}

func (h identities) known(s *task.Setup) map[string]nomadish.SignedIdentity {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept[networkID(s)]
}

// Restore learns the times of identities that an earlier agent got.
func (h identities) Restore(_ context.Context, s *task.Setup) error {
	if len(exposed(s.Task)) == 0 {
		return nil
	}
	times, err := readTimes(s)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept[networkID(s)] = times
	return nil
}

// Release forgets the task's identities.
func (h identities) Release(_ context.Context, s *task.Setup) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.kept, networkID(s))
	return nil
}

// Attend renews identities when half of their time is over.
func (h identities) Attend(ctx context.Context, s *task.Setup) {
	pause := signPause
	for ctx.Err() == nil {
		due, wait := h.due(s)
		if len(due) == 0 && wait == 0 {
			return // none of them ends
		}
		if len(due) == 0 {
			if lifecycle.Sleep(ctx, wait) != nil {
				return
			}
			continue
		}
		if err := h.renew(ctx, s, due); err != nil {
			if pause == signPause {
				s.Emit(task.MessageEvent("identities can't be renewed and are tried again: " + err.Error()))
			}
			if lifecycle.Sleep(ctx, pause) != nil {
				return
			}
			pause = min(2*pause, signMaxPause)
			continue
		}
		pause = signPause
	}
}

// due returns the identities that are to be renewed now, or the time until there are some;
// nothing, if all are for good.
func (h identities) due(s *task.Setup) (due []*nomadish.WorkloadIdentity, wait time.Duration) {
	kept := h.known(s)
	for _, id := range exposed(s.Task) {
		if id.TTL <= 0 {
			continue
		}
		rest := renewal(kept[id.Name], s.Alloc.ID).Sub(h.now())
		if rest <= 0 {
			due = append(due, id)
		} else if wait == 0 || rest < wait {
			wait = rest
		}
	}
	return due, wait
}

// renewal is when a little less than half of an identity's time is over: how much less
// depends on the allocation, so that those which began together don't all renew at once.
func renewal(k nomadish.SignedIdentity, allocID string) time.Time {
	hash := fnv.New32a()
	hash.Write([]byte(allocID))
	life := time.Duration(k.Expires-k.IssuedAt) * time.Second
	early := float64(life) / 16 * float64(hash.Sum32()) / (1 << 32)
	return time.Unix(k.IssuedAt, 0).Add(life/2 - time.Duration(early))
}

// renew gets new identities and tells the task of them.
func (h identities) renew(ctx context.Context, s *task.Setup, due []*nomadish.WorkloadIdentity) error {
	signed, err := h.sign(ctx, s, due)
	if err != nil {
		return err
	}
	if err := h.put(s, due, signed); err != nil {
		return err
	}
	restart := ""
	for _, id := range due {
		reason := fmt.Sprintf("identity %q was renewed", id.Name)
		switch id.ChangeMode {
		case nomadish.ChangeModeSignal:
			if err := s.Signal(ctx, id.ChangeSignal, reason); err != nil {
				s.Emit(task.MessageEvent(reason + ", and the task could not be told: " + err.Error()))
			}
		case nomadish.ChangeModeRestart:
			restart = reason
		}
	}
	if restart != "" {
		s.Restart(restart)
		<-ctx.Done() // the start that follows gets its own
	}
	return nil
}
