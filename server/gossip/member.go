package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

// What a member is to the pool, in Nomad's words.
const (
	StatusAlive   = "alive"
	StatusLeaving = "leaving" // it said that it goes
	StatusLeft    = "left"
	StatusFailed  = "failed" // it does not answer
)

// Member is a server of any region, as the pool knows it.
type Member struct {
	ID         string // the server's identity, for all time
	Name       string
	Region     string
	Datacenter string
	Build      string // version of the program
	RPC        string // host:port for other agents
	HTTP       string // host:port of the API; empty: not told
	Addr       string // of gossip
	Port       uint16 // of gossip
	Expect     int    // bootstrap_expect; 0: none
	Nonvoter   bool   // it wants no vote
	HasState   bool   // it belongs to a cluster already
	Cluster    string // ID of that cluster; empty: none, or not known yet
	Status     string // alive, leaving, left or failed

	// Tags are the same in Nomad's words, as /v1/agent/members shows them.
	Tags map[string]string
}

// FullName is the name that commands use for the member: name and region.
func (m Member) FullName() string { return m.Name + "." + m.Region }

// present says whether the member can be talked to.
func (m Member) present() bool { return m.Status == StatusAlive || m.Status == StatusLeaving }

// withTags fills in Tags.
func (m Member) withTags() Member {
	m.Tags = map[string]string{
		"role": "nomad", "region": m.Region, "dc": m.Datacenter, "id": m.ID, "build": m.Build,
		"raft_vsn": "3", "vsn": "1",
	}
	if host, port, err := net.SplitHostPort(m.RPC); err == nil {
		m.Tags["rpc_addr"], m.Tags["port"] = host, port
	}
	if m.HTTP != "" {
		m.Tags["http_addr"] = m.HTTP
	}
	if m.Expect > 0 {
		m.Tags["expect"] = strconv.Itoa(m.Expect)
	}
	if m.Expect == 1 {
		m.Tags["bootstrap"] = "1"
	}
	if m.Nonvoter {
		m.Tags["nonvoter"] = "1"
	}
	return m
}

// meta is what a member tells of itself besides its address.
type meta struct {
	Member
	boot    uint64 // goes up with each start of the server, which tells old news from new
	leaving bool
}

// metaVersion is the first byte of a member's metadata. What can be read of later versions is
// for those to say: they only add fields, which are passed over here.
const metaVersion = 1

// Fields of a member's metadata.
const (
	fieldID = iota + 1
	fieldName
	fieldRegion
	fieldDatacenter
	fieldBuild
	fieldRPC
	fieldHTTP
	fieldExpect
	fieldNonvoter
	fieldHasState
	fieldCluster
	fieldBoot
	fieldLeaving
)

// maxText bounds each text of the metadata.
const maxText = 128

// texts are the texts of the metadata by their fields.
func (m *meta) texts() [fieldCluster + 1]*string {
	return [...]*string{
		fieldID: &m.ID, fieldName: &m.Name, fieldRegion: &m.Region, fieldDatacenter: &m.Datacenter,
		fieldBuild: &m.Build, fieldRPC: &m.RPC, fieldHTTP: &m.HTTP, fieldCluster: &m.Cluster,
	}
}

// encode writes the metadata, which fails where it gets too long for the network.
func (m *meta) encode() ([]byte, error) {
	out := fields{metaVersion}
	for tag, text := range m.texts() {
		if text == nil {
			continue
		}
		if err := checkText(*text); err != nil {
			return nil, err
		}
		out.text(byte(tag), *text)
	}
	out.number(fieldExpect, uint64(max(0, m.Expect)))
	out.number(fieldBoot, m.boot)
	out.flag(fieldNonvoter, m.Nonvoter)
	out.flag(fieldHasState, m.HasState)
	out.flag(fieldLeaving, m.leaving)
	if len(out) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("metadata of %d bytes, at most %d are allowed: shorten the names", len(out), memberlist.MetaMaxSize)
	}
	return out, nil
}

// decodeMeta reads what a member tells of itself. Nothing of it is trusted.
func decodeMeta(b []byte) (*meta, error) {
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("metadata of %d bytes, at most %d are allowed", len(b), memberlist.MetaMaxSize)
	}
	if len(b) == 0 || b[0] != metaVersion {
		return nil, errors.New("metadata of another program or version")
	}
	m := &meta{}
	texts := m.texts()
	err := eachField(b[1:], func(tag byte, value []byte) error {
		if int(tag) < len(texts) && texts[tag] != nil {
			*texts[tag] = string(value)
			return checkText(*texts[tag])
		}
		switch tag {
		case fieldExpect:
			n, err := readNumber(value)
			if err != nil || n > maxExpect {
				return fmt.Errorf("bootstrap_expect: at most %d is allowed", maxExpect)
			}
			m.Expect = int(n)
		case fieldBoot:
			var err error
			m.boot, err = readNumber(value)
			return err
		case fieldNonvoter:
			m.Nonvoter = true
		case fieldHasState:
			m.HasState = true
		case fieldLeaving:
			m.leaving = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	if m.ID == "" || m.Name == "" || m.Region == "" {
		return nil, errors.New("metadata: no ID, name or region")
	}
	return m, nil
}

// maxExpect bounds bootstrap_expect.
const maxExpect = 255

func checkText(s string) error {
	if len(s) > maxText {
		return fmt.Errorf("text of %d bytes, at most %d are allowed", len(s), maxText)
	}
	if !utf8.ValidString(s) {
		return errors.New("text that is no UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return errors.New("text with control characters")
		}
	}
	return nil
}

// fields is a list of values, each with a tag and its length in front.
type fields []byte

func (f *fields) text(tag byte, s string) {
	if s != "" {
		f.bytes(tag, []byte(s))
	}
}

func (f *fields) bytes(tag byte, b []byte) {
	*f = append(binary.AppendUvarint(append(*f, tag), uint64(len(b))), b...)
}

func (f *fields) number(tag byte, n uint64) {
	if n > 0 {
		f.bytes(tag, binary.AppendUvarint(nil, n))
	}
}

func (f *fields) flag(tag byte, set bool) {
	if set {
		f.bytes(tag, nil)
	}
}

// eachField calls read with each value of a list.
func eachField(b []byte, read func(tag byte, value []byte) error) error {
	for len(b) > 0 {
		tag := b[0]
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return errors.New("a field is cut off")
		}
		end := 1 + n + int(size)
		if err := read(tag, b[1+n:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

func readNumber(b []byte) (uint64, error) {
	n, size := binary.Uvarint(b)
	if size != len(b) {
		return 0, errors.New("a number that is none")
	}
	return n, nil
}
