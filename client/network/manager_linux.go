package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// Manager makes networks and keeps them right. Its methods may be called concurrently.
type Manager struct {
	cfg    Config
	log    *slog.Logger
	host   *os.File // the host's network namespace
	links  *links
	table  *table
	store  store
	prefix string // of our links' names

	mu     sync.Mutex
	pool   pool
	leases map[string]*lease
	going  map[string]bool     // leases that are being freed: the table does not have them any more
	spaces map[string]*os.File // open, so that a namespace whose mount is lost is not
	busy   map[string]chan struct{}
	others []string  // rules of others that may be in the way
	flows  portFlows // to be forgotten by the kernel

	sweep chan struct{} // there are flows to forget
}

// New returns a manager of the networks that are on disk. It returns an error that is
// ErrUnsupported where the agent is not root or the kernel lacks something.
func New(cfg Config) (*Manager, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("network: %w: the agent does not run as root", ErrUnsupported)
	}
	host, err := os.Open(filepath.Clean(hostPath(cfg)))
	if err != nil {
		return nil, fmt.Errorf("network: the host's namespace: %w", err)
	}
	m := &Manager{
		cfg: cfg, log: cfg.Logger, host: host, store: store{dir: filepath.Join(cfg.DataDir, "client", "network")},
		prefix: linkPrefix(cfg.DataDir), going: map[string]bool{}, spaces: map[string]*os.File{}, busy: map[string]chan struct{}{},
		flows: portFlows{}, sweep: make(chan struct{}, 1),
	}
	if err := m.open(); err != nil {
		return nil, fmt.Errorf("network: %w", errors.Join(err, m.close()))
	}
	return m, nil
}

func hostPath(cfg Config) string {
	if cfg.Host != "" {
		return cfg.Host
	}
	return "/proc/self/ns/net"
}

func (m *Manager) open() error {
	if err := probe(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	handle, err := netlink.NewHandleAt(netns.NsHandle(m.host.Fd()), unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	m.links = &links{host: handle, hostNS: m.host, prefix: m.prefix}
	m.table = newTable(m.host, "nomadish-"+instance(m.cfg.DataDir), m.prefix)
	subnet6 := m.cfg.Subnet6
	if !subnet6.IsValid() && m.forwards6() {
		subnet6 = uniqueLocal(m.cfg.DataDir)
	}
	m.pool = newPool(m.cfg.Subnet, subnet6, m.cfg.DataDir)
	m.leases, err = m.store.all()
	if m.leases == nil {
		return err
	}
	if err != nil {
		m.log.Error("some networks of an earlier agent can't be read", "err", err)
	}
	for id := range m.leases {
		m.hold(id)
	}
	if err := m.look(); err != nil {
		m.log.Warn("look at the host's other rules", "err", err) // Run looks again
	}
	return nil
}

// hold opens a lease's namespace, if it is there.
func (m *Manager) hold(id string) {
	if path := m.path(id); isNamespace(path) {
		if ns, err := os.Open(path); err == nil {
			m.spaces[id] = ns
		}
	}
}

// path is where the namespace of an ID is mounted.
func (m *Manager) path(id string) string { return filepath.Join(m.cfg.RunDir, drivers.Key(id)) }

func (m *Manager) close() error {
	errs := []error{m.host.Close()}
	if m.links != nil {
		m.links.host.Close()
		errs = append(errs, m.table.close())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, ns := range m.spaces {
		errs = append(errs, ns.Close())
		delete(m.spaces, id)
	}
	return errors.Join(errs...)
}

// lock waits until nobody else works on an ID.
func (m *Manager) lock(ctx context.Context, id string) (unlock func(), err error) {
	for {
		m.mu.Lock()
		other := m.busy[id]
		if other == nil {
			mine := make(chan struct{})
			m.busy[id] = mine
			m.mu.Unlock()
			return func() {
				m.mu.Lock()
				delete(m.busy, id)
				m.mu.Unlock()
				close(mine)
			}, nil
		}
		m.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Setup makes a network, or what is missing of it; it may be called again at any time. Its
// errors are drivers.Recoverable unless the node can't make such a network at all.
func (m *Manager) Setup(ctx context.Context, req Request) (*Status, error) {
	if err := req.validate(); err != nil {
		return nil, err
	}
	unlock, err := m.lock(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, known, changed, err := m.lease(req)
	if err != nil {
		return nil, fmt.Errorf("network of %s: %w", req.ID, err)
	}
	st, err := m.make(ctx, l)
	if err != nil {
		if !errors.Is(err, ErrUnsupported) {
			err = drivers.Recoverable(err)
		}
		return nil, fmt.Errorf("network of %s: %w", req.ID, err)
	}
	if changed {
		m.forgetFlows(l)
	}
	st.Renewed = st.Renewed && known
	return st, nil
}

// Restore makes again what is missing of the network of an ID, as Setup does. Without one
// it returns nothing.
func (m *Manager) Restore(ctx context.Context, id string) (*Status, error) {
	m.mu.Lock()
	l := m.leases[id]
	m.mu.Unlock()
	if l == nil {
		return nil, nil
	}
	return m.Setup(ctx, l.Request)
}

// lease returns the lease of a request, which is on disk then, whether an earlier request
// had one, and whether its ports are others.
func (m *Manager) lease(req Request) (l *lease, known, changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.leases[req.ID]
	l = &lease{Request: req}
	if old != nil {
		again := *old
		again.Request = req
		l = &again
	} else if req.Mode == ModeBridge {
		if err := m.address(l); err != nil {
			return nil, false, false, err
		}
	}
	if err := m.store.put(l); err != nil {
		return nil, false, false, drivers.Recoverable(err)
	}
	m.leases[req.ID] = l
	delete(m.going, req.ID)
	changed = old == nil || !slices.Equal(old.Request.Ports, req.Ports)
	return l, old != nil, changed, nil
}

// address gives a new lease addresses that nobody has. The caller holds m.mu.
func (m *Manager) address(l *lease) error {
	index, addrs := map[int]bool{}, map[netip.Addr]bool{}
	if err := m.links.routed(addrs); err != nil {
		return drivers.Recoverable(fmt.Errorf("routes of the host: %w", err))
	}
	for _, other := range m.leases {
		index[other.Index] = true
		addrs[other.Address] = true
	}
	return m.pool.take(l, index, addrs)
}

// make makes of a lease's network what is not there. Renewed in the status says that there
// was no namespace.
func (m *Manager) make(ctx context.Context, l *lease) (*Status, error) {
	made, ns, err := m.namespace(l.Request.ID)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(l.Request.Mode, ModeCNI) {
		if l, err = m.setupCNI(ctx, l, ns, made); err != nil {
			return nil, err
		}
	} else if _, err := m.links.connect(l, ns); err != nil {
		return nil, err
	}
	if l.Request.Mode == ModeBridge {
		if err := m.forwarding(); err != nil {
			return nil, err
		}
		if err := m.table.update(m.wanted); err != nil {
			return nil, err
		}
	}
	st, err := m.store.writeFiles(l, resolvers)
	if err != nil {
		return nil, err
	}
	st.Network.Namespace, st.Renewed = ns.Name(), made
	st.Notices = m.notices(l, st)
	return st, nil
}

// notices says what users of a network should know.
func (m *Manager) notices(l *lease, st *Status) []string {
	var out []string
	if l.Request.Mode != ModeBridge {
		return nil
	}
	m.mu.Lock()
	out = slices.Clone(m.others)
	m.mu.Unlock()
	if len(st.DNS.Servers) == 0 {
		out = append(out, "no name server: the host's resolv.conf has none but on loopback; set dns.servers")
	}
	return out
}

// namespace returns an ID's namespace, mounted, and whether it is new.
func (m *Manager) namespace(id string) (made bool, ns *os.File, err error) {
	path := m.path(id)
	m.mu.Lock()
	ns = m.spaces[id]
	m.mu.Unlock()
	if ns != nil {
		if isNamespace(path) {
			return false, ns, nil
		}
		return false, ns, mountNamespace(ns, path)
	}
	if made, err = makeNamespace(path); err != nil {
		return false, nil, fmt.Errorf("namespace: %w", err)
	}
	if ns, err = os.Open(path); err != nil {
		return false, nil, err
	}
	m.mu.Lock()
	m.spaces[id] = ns
	m.mu.Unlock()
	return made, ns, nil
}

// wanted is what the table's sets should hold.
func (m *Manager) wanted() ruleset {
	m.mu.Lock()
	rest := make(map[string]*lease, len(m.leases))
	for id, l := range m.leases {
		if !m.going[id] {
			rest[id] = l
		}
	}
	m.mu.Unlock()
	return wanted(rest, m.prefix)
}
