package network

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	cni "github.com/containerd/go-cni"

	"github.com/nomadish/nomadish/nomadish"
)

const (
	versionTimeout = 5 * time.Second // for a plugin to say its version
	maxPlugins     = 128             // that are asked
	maxNetworks    = 64              // of the configuration directory
	maxConfig      = 1 << 20         // bytes of a network's configuration
)

// setupCNI lets plugins make a network, once per namespace: they can't be asked whether
// they did. What they made for a namespace that is gone they take back first.
func (m *Manager) setupCNI(ctx context.Context, l *lease, ns *os.File, fresh bool) (*lease, error) {
	if l.CNI != nil && !fresh {
		return l, nil
	}
	if l.CNI != nil || !fresh { // or an agent was killed before it wrote down what they made
		if err := m.removeCNI(ctx, l); err != nil {
			m.log.Warn("let CNI plugins take back a lost network", "id", l.Request.ID, "err", err)
		}
	}
	if _, err := m.links.connect(l, ns); err != nil { // its loopback interface
		return nil, err
	}
	var result *cni.Result
	err := m.plugins(l, func(c cni.CNI, opts []cni.NamespaceOpts) (err error) {
		result, err = c.SetupSerially(ctx, l.Request.ID, ns.Name(), opts...)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, m.removeCNI(context.WithoutCancel(ctx), l))
	}
	changed := *l
	changed.CNI = readResult(result)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.store.put(&changed); err != nil {
		return nil, err
	}
	m.leases[l.Request.ID] = &changed
	return &changed, nil
}

func (m *Manager) removeCNI(ctx context.Context, l *lease) error {
	return m.plugins(l, func(c cni.CNI, opts []cni.NamespaceOpts) error {
		return c.Remove(ctx, l.Request.ID, m.path(l.Request.ID), opts...)
	})
}

// plugins calls f with the network that a lease names, in the host's namespace: plugins are
// started by the thread that f runs on.
func (m *Manager) plugins(l *lease, f func(c cni.CNI, opts []cni.NamespaceOpts) error) error {
	name := strings.TrimPrefix(l.Request.Mode, ModeCNI)
	conf, err := m.network(name)
	if err != nil {
		return err
	}
	load := cni.WithConfListBytes(conf.data)
	if !conf.list {
		load = cni.WithConf(conf.data)
	}
	c, err := cni.New(cni.WithMinNetworkCount(1), cni.WithPluginDir(m.cfg.CNIPath), cni.WithInterfacePrefix("eth"), load)
	if err != nil {
		return fmt.Errorf("cni network %q: %w", name, err)
	}
	opts := []cni.NamespaceOpts{cni.WithArgs("IgnoreUnknown", "true"), cni.WithCapabilityPortMap(portMappings(&l.Request))}
	for key, value := range l.Request.Args {
		opts = append(opts, cni.WithArgs(key, value))
	}
	if err := inside(m.host, func() error { return f(c, opts) }); err != nil {
		return fmt.Errorf("cni network %q: %w", name, err)
	}
	return nil
}

func portMappings(r *Request) []cni.PortMapping {
	out := []cni.PortMapping{}
	for _, p := range r.Ports {
		for _, proto := range []string{"tcp", "udp"} {
			out = append(out, cni.PortMapping{
				HostPort: int32(p.Host), ContainerPort: int32(Inside(p)), Protocol: proto, HostIP: p.HostIP,
			})
		}
	}
	return out
}

// readResult takes the first interface of the namespace that has an address.
func readResult(r *cni.Result) *cniResult {
	out := &cniResult{}
	names := make([]string, 0, len(r.Interfaces))
	for name := range r.Interfaces {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		ifc := r.Interfaces[name]
		if ifc == nil || len(ifc.IPConfigs) == 0 || name == "lo" {
			continue
		}
		out.Interface = name
		for _, ip := range ifc.IPConfigs {
			if ip.IP.To4() != nil {
				out.Address = cmp.Or(out.Address, ip.IP.String())
			} else {
				out.Address6 = cmp.Or(out.Address6, ip.IP.String())
			}
		}
		break
	}
	for _, dns := range r.DNS {
		if len(dns.Nameservers) > 0 {
			out.DNS = nomadish.DNSConfig{Servers: dns.Nameservers, Searches: dns.Search, Options: dns.Options}
			break
		}
	}
	return out
}

// cniNetwork is a network of the configuration directory.
type cniNetwork struct {
	name    string
	list    bool // a list of plugins
	plugins []string
	data    []byte
}

// network finds a network by its name.
func (m *Manager) network(name string) (*cniNetwork, error) {
	all, err := m.networks()
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("cni network %q: %w: not in %s", name, ErrUnsupported, m.cfg.CNIConfigDir)
}

// networks reads the configuration directory. Of two networks of one name the first file counts.
func (m *Manager) networks() ([]*cniNetwork, error) {
	entries, err := os.ReadDir(m.cfg.CNIConfigDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*cniNetwork
	for _, e := range entries {
		path := filepath.Join(m.cfg.CNIConfigDir, e.Name())
		if !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(path)) {
			continue
		}
		n, err := readNetwork(path)
		if err != nil {
			m.log.Warn("read a CNI network", "file", path, "err", err)
			continue
		}
		if !slices.ContainsFunc(out, func(o *cniNetwork) bool { return o.name == n.name }) {
			out = append(out, n)
		}
		if len(out) == maxNetworks {
			m.log.Warn("cni_config_dir has too many networks; the rest is left out", "limit", maxNetworks)
			break
		}
	}
	return out, nil
}

func readNetwork(path string) (*cniNetwork, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%d bytes are more than %d", info.Size(), maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var conf struct {
		Name    string
		Type    string
		Plugins []struct{ Type string }
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		return nil, err
	}
	n := &cniNetwork{name: conf.Name, data: data, list: len(conf.Plugins) > 0}
	for _, p := range conf.Plugins {
		n.plugins = append(n.plugins, p.Type)
	}
	if !n.list {
		n.plugins = []string{conf.Type}
	}
	if n.name == "" || slices.Contains(n.plugins, "") {
		return nil, errors.New("a network needs a name, and each plugin a type")
	}
	return n, nil
}

// pluginVersion is how plugins tell their version.
var pluginVersion = regexp.MustCompile(`v?(\d+\.\d+\.\d+[0-9A-Za-z.+-]*)`)

// versions asks the plugins that are there for their versions.
func (m *Manager) versions(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, dir := range m.cfg.CNIPath {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a directory that is not there holds none
		}
		for _, e := range entries {
			info, err := e.Info()
			if _, known := out[e.Name()]; known || err != nil || info.IsDir() || info.Mode()&0o111 == 0 || len(out) >= maxPlugins {
				continue
			}
			if v := askVersion(ctx, filepath.Join(dir, e.Name())); v != "" {
				out[e.Name()] = v
			}
		}
	}
	return out
}

func askVersion(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	text, err := cmd.CombinedOutput() // plugins tell it on stderr, and some end with an error
	found := pluginVersion.FindSubmatch(text)
	if found == nil || errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	return string(found[1])
}
