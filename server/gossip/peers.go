package gossip

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// peersFile is what is kept of the pool: with it a server finds the others again, and raft its peers before
// the pool is up.
type peersFile struct {
	Boot  uint64
	Left  bool `json:",omitempty"` // this server left when it last ran
	Peers []peer
}

// peer is a member as it is kept.
type peer struct {
	ID, Name, Region string
	Datacenter       string `json:",omitempty"`
	Build            string `json:",omitempty"`
	RPC              string
	HTTP             string `json:",omitempty"`
	Addr             string
	Port             uint16
	Boot             uint64
	Left             bool `json:",omitempty"`
}

const maxPeersFile = 4 << 20

// readPeers counts this start, and takes who was known for failed: whoever is there says so.
func (p *Pool) readPeers() error {
	p.self.boot = 1
	if p.cfg.PeersFile == "" {
		p.self.boot = max(1, uint64(p.cfg.Now().Unix()))
		return nil
	}
	kept := peersFile{}
	info, err := os.Stat(p.cfg.PeersFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		kept.Boot = max(1, uint64(p.cfg.Now().Unix()))
	case err != nil:
		return fmt.Errorf("gossip: %w", err)
	case info.Size() > maxPeersFile:
		return fmt.Errorf("gossip: %s: %d bytes, at most %d are allowed", p.cfg.PeersFile, info.Size(), maxPeersFile)
	default:
		b, err := os.ReadFile(p.cfg.PeersFile)
		if err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
		if err := json.Unmarshal(b, &kept); err != nil {
			// It is only what others can tell again.
			p.cfg.Logger.Warn("the list of known servers can't be read and is begun anew", "file", p.cfg.PeersFile, "err", err)
			kept = peersFile{Boot: max(1, uint64(p.cfg.Now().Unix()))}
		}
	}
	p.self.boot = kept.Boot + 1
	p.takePeers(kept)
	return p.writePeers()
}

func (p *Pool) takePeers(kept peersFile) {
	for _, k := range kept.Peers {
		m := meta{Member: Member{
			ID: k.ID, Name: k.Name, Region: k.Region, Datacenter: k.Datacenter, Build: k.Build,
			RPC: k.RPC, HTTP: k.HTTP, Addr: k.Addr, Port: k.Port, Status: StatusFailed,
		}, boot: k.Boot}
		if k.Left || kept.Left && !p.cfg.RejoinAfterLeave {
			m.Status = StatusLeft // so that it is not looked for
		}
		if _, err := m.encode(); err != nil || m.ID == "" || m.ID == p.self.ID || len(p.members) >= p.cfg.MaxMembers-1 {
			continue
		}
		p.members[m.ID] = &member{meta: m, since: time.Now()}
	}
}

// keepPeers writes the file when members have changed.
func (p *Pool) keepPeers(ctx context.Context) {
	if p.cfg.PeersFile == "" {
		return
	}
	var last []byte
	for {
		changed := p.Changed()
		if next := p.peers(); !bytes.Equal(next, last) {
			if err := p.writePeers(); err != nil {
				p.cfg.Logger.Warn("the list of known servers can't be kept", "err", err)
			}
			last = next
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err := p.writePeers(); err != nil {
				p.cfg.Logger.Warn("the list of known servers can't be kept", "err", err)
			}
			return
		}
	}
}

// peers is what the file should hold.
func (p *Pool) peers() []byte {
	out := peersFile{Peers: []peer{}}
	for _, m := range p.Members() {
		if m.ID == p.cfg.Self.ID {
			continue
		}
		out.Peers = append(out.Peers, peer{
			ID: m.ID, Name: m.Name, Region: m.Region, Datacenter: m.Datacenter, Build: m.Build, RPC: m.RPC, HTTP: m.HTTP,
			Addr: m.Addr, Port: m.Port, Boot: p.boot(m.ID), Left: m.Status == StatusLeft,
		})
	}
	p.mu.Lock()
	out.Boot, out.Left = p.self.boot, p.left
	p.mu.Unlock()
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil // texts and numbers can always be written
	}
	return append(b, '\n')
}

func (p *Pool) boot(id string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[id]; m != nil {
		return m.boot
	}
	return 0
}

func (p *Pool) writePeers() error {
	if p.cfg.PeersFile == "" {
		return nil
	}
	return replaceFile(p.cfg.PeersFile, p.peers())
}

// replaceFile puts a file in another's place, so that there is always a whole one.
func replaceFile(path string, content []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // it is of no use
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
