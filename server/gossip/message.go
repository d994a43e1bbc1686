package gossip

import (
	"encoding/binary"
	"errors"
)

// Kinds of messages, which are their first byte.
const (
	kindExpelled = iota + 1
	kindKeysAsk  // tell me your keys
	kindKeysSet  // take these keys, and tell me yours
	kindKeysAre  // the answer
)

// message is what one member tells another, or all.
type message struct {
	expelled *expelled
	kind     byte
	query    uint64 // of a question and its answer
	from     string // ID of who says it
	keys     *keySet
	err      string // why keys were not taken
}

// expelled says that a member is to be taken for one that left.
type expelled struct {
	id    string
	boot  uint64 // its start of which that is true, and all before
	prune bool   // forget it
}

// Fields of messages.
const (
	fieldQuery = iota + 1
	fieldFrom
	fieldSet
	fieldError
	fieldPrune
	fieldOfBoot
)

func (e expelled) encode() []byte {
	out := fields{kindExpelled}
	out.text(fieldFrom, e.id)
	out.number(fieldOfBoot, e.boot)
	out.flag(fieldPrune, e.prune)
	return out
}

func (m message) encode() []byte {
	out := fields{m.kind}
	out.bytes(fieldQuery, binary.BigEndian.AppendUint64(nil, m.query))
	out.text(fieldFrom, m.from)
	if m.keys != nil {
		out.bytes(fieldSet, m.keys.encode())
	}
	if checkText(m.err) != nil {
		m.err = "its error can't be shown"
	}
	out.text(fieldError, m.err)
	return out
}

// maxMessage bounds a message: sixteen keys and an error fit.
const maxMessage = 4 << 10

func decodeMessage(b []byte) (message, error) {
	if len(b) == 0 || len(b) > maxMessage {
		return message{}, errors.New("a message that is empty or too long")
	}
	m := message{kind: b[0]}
	if m.kind < kindExpelled || m.kind > kindKeysAre {
		return m, errors.New("a message of an unknown kind")
	}
	e := expelled{}
	err := eachField(b[1:], func(tag byte, value []byte) (err error) {
		switch tag {
		case fieldQuery:
			if len(value) != 8 {
				return errors.New("a query's number that is none")
			}
			m.query = binary.BigEndian.Uint64(value)
		case fieldFrom:
			m.from = string(value)
			err = checkText(m.from)
		case fieldSet:
			var set keySet
			set, err = decodeKeySet(value)
			m.keys = &set
		case fieldError:
			m.err = string(value)
			err = checkText(m.err)
		case fieldOfBoot:
			e.boot, err = readNumber(value)
		case fieldPrune:
			e.prune = true
		}
		return err
	})
	if err == nil && m.from == "" {
		err = errors.New("a message of nobody")
	}
	if m.kind == kindExpelled {
		e.id = m.from
		m.expelled = &e
	}
	return m, err
}
