package gossip

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/nomadish/nomadish/nomadish"
)

// KeyReport is what the members said about keys.
type KeyReport struct {
	Members int               // that were asked
	Answers int               // that came
	Errors  map[string]string // by the member's name
	Keys    map[string]int    // in base64: how many members have it
	Primary map[string]int    // in base64: how many members encrypt with it
}

// keyAnswer is what a member said.
type keyAnswer struct {
	from string
	set  keySet
	err  string
}

// Encrypted says whether the pool is.
func (p *Pool) Encrypted() bool { return p.keys != nil }

// ListKeys asks all members for their keys.
func (p *Pool) ListKeys(ctx context.Context) (*KeyReport, error) {
	report, _, err := p.survey(ctx, message{kind: kindKeysAsk})
	return report, err
}

// InstallKey gives all members another key, which they can read by from then on.
func (p *Pool) InstallKey(ctx context.Context, key []byte) (*KeyReport, error) {
	return p.rotate(ctx, false, func(s keySet) (keySet, error) {
		if s.holds(key) {
			return s, nil
		}
		if len(s.Keys) == maxKeys {
			return s, nomadish.Errorf(nomadish.KindInvalid, "%d keys are installed, which is the limit: remove one", maxKeys)
		}
		s.Keys = append(slices.Clone(s.Keys), key)
		return s, nil
	})
}

// UseKey has all members encrypt with a key that they have. It is refused while a member that is known and
// has not left does not answer: that one could read nothing any more, and could not come back.
func (p *Pool) UseKey(ctx context.Context, key []byte) (*KeyReport, error) {
	return p.rotate(ctx, true, func(s keySet) (keySet, error) {
		at := slices.IndexFunc(s.Keys, func(k []byte) bool { return bytes.Equal(k, key) })
		if at < 0 {
			return s, nomadish.Errorf(nomadish.KindInvalid, "the key is not installed")
		}
		s.Keys = slices.Insert(slices.Delete(slices.Clone(s.Keys), at, at+1), 0, key)
		return s, nil
	})
}

// RemoveKey has all members forget a key. It is refused for the one that is used, and while a member
// that is known and has not left does not answer.
func (p *Pool) RemoveKey(ctx context.Context, key []byte) (*KeyReport, error) {
	return p.rotate(ctx, true, func(s keySet) (keySet, error) {
		if bytes.Equal(s.Keys[0], key) {
			return s, nomadish.Errorf(nomadish.KindInvalid, "removing the primary key is not allowed")
		}
		s.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(k []byte) bool { return bytes.Equal(k, key) })
		return s, nil
	})
}

// rotate makes the next set of the newest that there is, and gives it to all.
func (p *Pool) rotate(ctx context.Context, all bool, change func(keySet) (keySet, error)) (*KeyReport, error) {
	report, newest, err := p.survey(ctx, message{kind: kindKeysAsk})
	if err != nil {
		return report, err
	}
	if err := p.adopt(newest); err != nil {
		return report, err
	}
	if missing := p.missing(report); all && len(missing) > 0 {
		return report, nomadish.Errorf(nomadish.KindConflict,
			"these servers do not answer and would be locked out: %s; wait for them, or have them leave with \"server force-leave\"", strings.Join(missing, ", "))
	}
	next, err := change(newest)
	if err != nil {
		return report, err
	}
	if next.equal(newest) {
		report, _, err = p.survey(ctx, message{kind: kindKeysSet, keys: &newest})
		return report, err
	}
	if err := next.check(); err != nil {
		return report, nomadish.Errorf(nomadish.KindInvalid, "%w", err)
	}
	next.Version++
	if all { // who lacks a key has to have it before somebody uses it
		if report, _, err = p.survey(ctx, message{kind: kindKeysSet, keys: &newest}); err != nil || len(report.Errors) > 0 {
			return report, errors.Join(err, report.failure())
		}
	}
	if err := p.adopt(next); err != nil {
		return report, err
	}
	report, _, err = p.survey(ctx, message{kind: kindKeysSet, keys: &next})
	return report, err
}

func (r *KeyReport) failure() error {
	if len(r.Errors) == 0 {
		return nil
	}
	names := make([]string, 0, len(r.Errors))
	for name, reason := range r.Errors {
		names = append(names, name+": "+reason)
	}
	slices.Sort(names)
	return nomadish.Errorf(nomadish.KindConflict, "nothing was changed: %s", strings.Join(names, ", "))
}

// missing names the members that have not left and did not answer.
func (p *Pool) missing(r *KeyReport) []string {
	var names []string
	for _, m := range p.Members() {
		if _, silent := r.Errors[m.FullName()]; m.Status == StatusFailed || silent {
			names = append(names, m.FullName())
		}
	}
	return names
}

// survey puts a question to all members that are there, itself too, and returns the newest set of theirs.
func (p *Pool) survey(ctx context.Context, question message) (*KeyReport, keySet, error) {
	if p.keys == nil {
		return nil, keySet{}, nomadish.Errorf(nomadish.KindInvalid, "the servers' gossip is not encrypted: there is no keyring")
	}
	if err := p.ready(ctx); err != nil {
		return nil, keySet{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.KeyTimeout)
	defer cancel()
	answers := make(chan keyAnswer, p.cfg.MaxMembers)
	question.from, question.query = p.cfg.Self.ID, p.expect(answers)
	defer p.unexpect(question.query)
	var sending sync.WaitGroup
	defer sending.Wait()

	newest := p.keys.current()
	report := &KeyReport{Members: 1, Answers: 1, Errors: map[string]string{}, Keys: map[string]int{}, Primary: map[string]int{}}
	report.count(newest)
	waiting := map[string]string{} // by ID, the name
	for _, n := range p.list.Members() {
		m, ok := p.Member(n.Name)
		if !ok || m.ID == p.cfg.Self.ID {
			continue
		}
		report.Members++
		waiting[m.ID] = m.FullName()
		sending.Go(func() { p.send(n, question, answers) })
	}
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			name, ok := waiting[a.from]
			if !ok {
				continue
			}
			delete(waiting, a.from)
			if a.err != "" {
				report.Errors[name] = a.err
				continue
			}
			report.Answers++
			report.count(a.set)
			if a.set.newer(newest) {
				newest = a.set
			}
		case <-ctx.Done():
			for _, name := range waiting {
				report.Errors[name] = "no answer"
			}
			return report, newest, nil
		}
	}
	return report, newest, nil
}

func (r *KeyReport) count(s keySet) {
	for i, k := range s.Keys {
		text := base64.StdEncoding.EncodeToString(k)
		r.Keys[text]++
		if i == 0 {
			r.Primary[text]++
		}
	}
}

func (p *Pool) send(n *memberlist.Node, m message, answers chan<- keyAnswer) {
	if err := p.list.SendReliable(n, m.encode()); err != nil {
		answers <- keyAnswer{from: n.Name, err: fmt.Sprintf("not reached: %v", err)}
	}
}

// expect has answers to the query that it returns given to a channel.
func (p *Pool) expect(answers chan<- keyAnswer) uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it can't fail
	query := binary.BigEndian.Uint64(b[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks[query] = answers
	return query
}

func (p *Pool) unexpect(query uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asks, query)
}

// answer works on messages about keys until ctx ends.
func (p *Pool) answer(ctx context.Context) {
	for {
		select {
		case m := <-p.inbox:
			p.reply(m)
		case <-ctx.Done():
			return
		}
	}
}

// reply answers a question about keys.
func (p *Pool) reply(m message) {
	answer := message{kind: kindKeysAre, query: m.query, from: p.cfg.Self.ID}
	switch {
	case p.keys == nil:
		answer.err = "its gossip is not encrypted"
	case m.kind == kindKeysSet && m.keys != nil:
		if err := p.adopt(*m.keys); err != nil {
			answer.err = err.Error()
		}
	}
	if p.keys != nil {
		set := p.keys.current()
		answer.keys = &set
	}
	for _, n := range p.list.Members() {
		if n.Name != m.from {
			continue
		}
		if err := p.list.SendReliable(n, answer.encode()); err != nil {
			p.logger.log(slog.LevelDebug, "gossip: an answer was not taken", "server", m.from, "err", err)
		}
	}
}

// deliver gives an answer about keys to who asked.
func (p *Pool) deliver(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := keyAnswer{from: m.from, err: m.err}
	if m.keys != nil {
		a.set = *m.keys
	} else if a.err == "" {
		a.err = "it told no keys"
	}
	if answers := p.asks[m.query]; answers != nil {
		select {
		case answers <- a:
		default: // more than were asked
		}
	}
}

// adopt takes a set of keys if it is newer than this server's.
func (p *Pool) adopt(next keySet) error {
	changed, err := p.keys.adopt(next)
	if err != nil {
		p.logger.log(slog.LevelError, "the keys of the servers' gossip can't be changed", "err", err)
		return err
	}
	if changed {
		p.logger.log(slog.LevelInfo, "the keys of the servers' gossip have changed", "keys", len(next.Keys))
	}
	return nil
}
