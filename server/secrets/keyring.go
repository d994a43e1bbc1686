// Package secrets is the cluster's keyring: it seals what the state must not show, makes the
// keyed hashes by which secrets are looked up, and signs workload identities.
//
// Root keys are in the state, wrapped by a [Wrapper]: a key outside of it. A [Keyring] follows
// the state and keeps the root keys in memory, unwrapped. The state, its log and its snapshots
// show no secret to who has not got the wrapping key as well.
//
//	ring, err := secrets.New(secrets.Config{Wrappers: []secrets.Wrapper{w}}, store, raft)
//	err = ring.Run(ctx)
package secrets

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Config of a Keyring.
type Config struct {
	// Wrappers are the keys outside of the state. The first one wraps new root keys, all of
	// them unwrap. Required.
	Wrappers []Wrapper

	// RecoveryFile is where somebody may put the recovery key when the wrapping keys are lost: root keys
	// are unwrapped with it and wrapped anew, and then the file is removed. Default: nowhere.
	RecoveryFile string

	Algorithm string        // of new signing keys: EdDSA or RS256; default EdDSA
	Timeout   time.Duration // that a wrapper has for one answer; default 5s
	Retry     time.Duration // time after which a failed wrapper is asked again, doubled each time up to 16 times; default 1s

	Rotate     time.Duration // age at which the active root key is replaced; default 720h
	Prepublish time.Duration // time that verifiers have to learn of its successor; default 1h
	Forget     time.Duration // age at which root keys go that nothing needs any more; default 1h
	Every      time.Duration // time between looks at the age of keys, while this server leads; default 5m
	Renew      time.Duration // time between renewals of wrappers' own credentials; default 1h

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.Algorithm = cmp.Or(c.Algorithm, nomadish.AlgorithmEdDSA)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.Rotate = cmp.Or(c.Rotate, 720*time.Hour)
	c.Prepublish = cmp.Or(c.Prepublish, time.Hour)
	c.Forget = cmp.Or(c.Forget, time.Hour)
	c.Every = cmp.Or(c.Every, 5*time.Minute)
	c.Renew = cmp.Or(c.Renew, time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Wrappers) == 0 {
		errs = append(errs, errors.New("no wrapping key is given"))
	}
	if c.Algorithm != nomadish.AlgorithmEdDSA && c.Algorithm != nomadish.AlgorithmRS256 {
		errs = append(errs, nomadish.Errorf(nomadish.KindInvalid, "algorithm %q is neither EdDSA nor RS256", c.Algorithm))
	}
	return errors.Join(errs...)
}

// Keyring holds the root keys of the state, unwrapped. Its methods may be called concurrently.
type Keyring struct {
	cfg   Config
	store *state.Store
	raft  Proposer

	loading chan struct{} // holds a token while somebody loads

	mu   sync.RWMutex // held for reading while keys are used: what leaves the ring is wiped
	ring *ring
}

// ring is what a keyring knows at one moment.
type ring struct {
	keys   []*rootKey // the active one first, then the newest
	locked error      // why keys of the state are missing; nil: none is
	watch  memdb.WatchSet
}

// New returns a keyring without keys.
func New(cfg Config, store *state.Store, raft Proposer) (*Keyring, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	k := &Keyring{cfg: cfg, store: store, raft: raft, loading: make(chan struct{}, 1)}
	unread := make(chan struct{})
	close(unread)
	k.ring = &ring{watch: memdb.WatchSet{unread: {}}} // the first use reads the state
	return k, nil
}

// stale says whether the state's root keys have changed since the ring was made.
func (r *ring) stale() bool {
	for fired := range r.watch {
		select {
		case <-fired:
			return true
		default:
		}
	}
	return false
}

func (r *ring) key(id string) *rootKey {
	for _, k := range r.keys {
		if k.row.KeyID == id {
			return k
		}
	}
	return nil
}

// active returns the key that seals and signs, or why there is none.
func (r *ring) active() (*rootKey, error) {
	if len(r.keys) > 0 && r.keys[0].row.State == nomadish.RootKeyActive {
		return r.keys[0], nil
	}
	if r.locked != nil {
		return nil, unavailable(r.locked)
	}
	return nil, nomadish.Errorf(nomadish.KindNoLeader, "keyring: there is no root key yet")
}

// unavailable is the answer while keys can't be unwrapped.
func unavailable(cause error) error {
	return nomadish.Errorf(nomadish.KindNoLeader, "keyring: %w", cause)
}

// Seal encrypts content with the active root key. Only who gives the same bound data opens
// it again.
func (k *Keyring) Seal(plain, bound []byte) (nomadish.Sealed, error) {
	r, done := k.use()
	defer done()
	key, err := r.active()
	if err != nil {
		return nomadish.Sealed{}, err
	}
	return nomadish.Sealed{KeyID: key.row.KeyID, Data: key.aead.Seal(nil, nil, plain, bound)}, nil
}

// Open decrypts what Seal encrypted.
func (k *Keyring) Open(s nomadish.Sealed, bound []byte) ([]byte, error) {
	r, done := k.use()
	defer done()
	key := r.key(s.KeyID)
	switch {
	case key == nil && r.locked != nil:
		return nil, unavailable(r.locked)
	case key == nil:
		return nil, nomadish.Errorf(nomadish.KindInternal, "keyring: root key %s is not there", s.KeyID)
	}
	plain, err := key.aead.Open(nil, nil, s.Data, bound)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInternal, "keyring: what is sealed is damaged, or belongs elsewhere")
	}
	return plain, nil
}

// MACs returns the keyed hashes of a secret, one for each root key in use, that of the active
// one first: store the first, look up with all. With an error there are keys that can't be used
// now, and what none of the hashes finds may be there nevertheless.
func (k *Keyring) MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error) {
	r, done := k.use()
	defer done()
	hashes := make([]nomadish.KeyedHash, 0, len(r.keys))
	for _, key := range r.keys {
		if s := key.row.State; s == nomadish.RootKeyPrepublished || s == nomadish.RootKeyDeprecated {
			continue // nothing is stored under its hash
		}
		h := hmac.New(sha256.New, key.mac)
		h.Write([]byte(purpose))
		h.Write([]byte{0})
		h.Write(data)
		hashes = append(hashes, nomadish.KeyedHash{KeyID: key.row.KeyID, Sum: h.Sum(nil)})
	}
	if r.locked != nil {
		return hashes, unavailable(r.locked)
	}
	_, err := r.active()
	return hashes, err
}

// use returns the present ring. The caller calls done when it is through with the keys.
func (k *Keyring) use() (r *ring, done func()) {
	k.mu.RLock()
	if !k.ring.stale() {
		return k.ring, k.mu.RUnlock
	}
	k.mu.RUnlock()
	ctx, cancel := context.WithTimeout(context.Background(), k.cfg.Timeout)
	defer cancel()
	_ = k.load(ctx, false) // why keys are missing afterwards is in the ring
	k.mu.RLock()
	if k.ring.stale() {
		return &ring{keys: k.ring.keys, locked: errLoading}, k.mu.RUnlock
	}
	return k.ring, k.mu.RUnlock
}

// errLoading says that root keys have changed, and are not unwrapped in time.
var errLoading = errors.New("root keys are being unwrapped")

// load makes the ring hold the state's root keys, those that can be unwrapped. Those that
// could not before are tried again if the caller says so, or if the state has changed.
func (k *Keyring) load(ctx context.Context, again bool) error {
	select {
	case k.loading <- struct{}{}:
		defer func() { <-k.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.RLock()
	old := k.ring
	k.mu.RUnlock()
	if !old.stale() && (old.locked == nil || !again) {
		return old.locked // somebody else was faster
	}
	// Services that don't answer are not waited for once for each key.
	ctx, cancel := context.WithTimeout(ctx, 4*k.cfg.Timeout)
	defer cancel()
	next := &ring{watch: memdb.NewWatchSet()}
	var errs []error
	rows := slices.SortedFunc(k.store.Reader().RootKeys(next.watch), compareRows)
	for _, row := range rows {
		if known := old.key(row.KeyID); known != nil {
			key := *known
			key.row, key.rescued = row, known.rescued && !k.opens(row)
			next.keys = append(next.keys, &key)
			continue
		}
		key, err := k.unwrap(ctx, row)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.keys = append(next.keys, key)
	}
	next.locked = errors.Join(errs...)
	k.mu.Lock()
	k.ring = next
	for _, key := range old.keys {
		if next.key(key.row.KeyID) == nil {
			key.wipe()
		}
	}
	k.mu.Unlock()
	return next.locked
}

func (k *Keyring) unwrap(ctx context.Context, row *nomadish.RootKey) (*rootKey, error) {
	secret, rescued, err := k.secret(ctx, row, k.given)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	key, err := open(row, secret)
	if err != nil {
		return nil, err
	}
	key.rescued = rescued
	return key, nil
}

// compareRows puts the active key first, then newer before older ones.
func compareRows(a, b *nomadish.RootKey) int {
	rank := func(k *nomadish.RootKey) int {
		if k.State == nomadish.RootKeyActive {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.CreateTime, a.CreateTime), cmp.Compare(a.KeyID, b.KeyID))
}

// Run keeps up with the state until ctx ends, and forgets all keys then.
func (k *Keyring) Run(ctx context.Context) error {
	defer k.wipe()
	return lifecycle.Run(ctx, k.follow, k.renew)
}

// renewer is a wrapper with credentials that end.
type renewer interface {
	Renew(ctx context.Context) error
}

func (k *Keyring) renewed(ctx context.Context, r renewer) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	return r.Renew(ctx)
}

// renew keeps the credentials of those wrappers good that have some.
func (k *Keyring) renew(ctx context.Context) error {
	for lifecycle.Sleep(ctx, k.cfg.Renew) == nil {
		for _, w := range k.cfg.Wrappers {
			if r, ok := w.(renewer); ok {
				if err := k.renewed(ctx, r); err != nil && ctx.Err() == nil {
					k.cfg.Logger.Warn("renew the credentials of a wrapping key", "key", w.Name(), "err", err)
				}
			}
		}
	}
	return nil
}

// follow loads the keys of the state. What could not be unwrapped is tried again.
func (k *Keyring) follow(ctx context.Context) error {
	wait := k.cfg.Retry
	var told string
	for {
		err := k.load(ctx, true)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			wait, told = k.cfg.Retry, ""
			k.tidy()
		} else if wait > k.cfg.Retry && err.Error() != told { // at first another server may still give the wrapping key
			told = err.Error()
			k.cfg.Logger.Error("root keys can't be unwrapped: what is sealed with them can't be read by this server", "err", err, "remedy", k.remedy())
		}
		k.mu.RLock()
		watch := k.ring.watch
		k.mu.RUnlock()
		if err == nil {
			_ = watch.WatchCtx(ctx) // the loop sees that ctx has ended
			continue
		}
		pause, cancel := context.WithTimeout(ctx, wait)
		_ = watch.WatchCtx(pause)
		cancel()
		wait = min(2*wait, 16*k.cfg.Retry)
	}
}

// remedy says what an operator can do who has lost the wrapping key.
func (k *Keyring) remedy() string {
	if key := k.RecoveryKey(); key != nil && k.cfg.RecoveryFile != "" {
		return "give this server its wrapping key, or recovery key " + key.ID + " with \"nomadish operator root unlock\""
	}
	return "give this server its wrapping key"
}

// wipe forgets all keys.
func (k *Keyring) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.ring.keys {
		key.wipe()
	}
	k.ring.keys = nil
}
