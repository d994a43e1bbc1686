package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Sum is a link of the chain: the SHA-256 of the link before it and of a line.
type Sum [sha256.Size]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// next returns the link of a line, given without its sum.
func (s Sum) next(line []byte) Sum {
	h := sha256.New()
	h.Write(s[:])
	h.Write(line)
	var out Sum
	h.Sum(out[:0])
	return out
}

// ParseSum reads a sum as String writes it.
func ParseSum(text string) (Sum, error) {
	var s Sum
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(s) {
		return s, fmt.Errorf("%q is no sum of %d hexadecimal digits", text, 2*len(s))
	}
	copy(s[:], b)
	return s, nil
}

// A line ends with its sum: {…,"sum":"HEX"}. The sum is of what is before the comma.
const (
	sumHead  = `,"sum":"`
	sumTail  = `"}`
	sumBytes = len(sumHead) + 2*sha256.Size + len(sumTail)
	maxLine  = 64 << 10
)

// seal closes a JSON object with its sum.
func seal(object []byte, previous Sum) ([]byte, Sum) {
	open := object[:len(object)-1]
	sum := previous.next(open)
	line := make([]byte, 0, len(open)+sumBytes+1)
	line = append(append(line, open...), sumHead...)
	line = hex.AppendEncode(line, sum[:])
	return append(append(line, sumTail...), '\n'), sum
}

// unseal takes the sum off a line. It does not check it.
func unseal(line []byte) (open []byte, sum Sum, err error) {
	n := len(line) - sumBytes
	if n < 1 || !bytes.HasPrefix(line[n:], []byte(sumHead)) || !bytes.HasSuffix(line, []byte(sumTail)) {
		return nil, sum, errors.New("does not end with its sum")
	}
	sum, err = ParseSum(string(line[n+len(sumHead) : len(line)-len(sumTail)]))
	return line[:n], sum, err
}

// header is the first line of a file, and of each start of an agent. It ties them to what
// was before.
type header struct {
	EventType string    `json:"event_type"` // chain
	CreatedAt time.Time `json:"created_at"`
	After     string    `json:"after"`           // the sum of the line before; zeroes begin a chain
	Lines     uint64    `json:"lines"`           // how many were before
	File      string    `json:"file,omitempty"`  // where they are, if not in this file
	Cut       int64     `json:"cut,omitempty"`   // bytes of an unfinished line that were taken away
	Fault     string    `json:"fault,omitempty"` // why the chain before could not be continued
}

const eventChain = "chain"

// Head is where a chain ends. Kept elsewhere, it shows later that nothing was cut off.
type Head struct {
	Lines uint64
	Sum   Sum
}

func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Lines, h.Sum) }

// Broken is an error of Verify: from this line on the log is not what was written.
type Broken struct {
	Line   uint64 // of the file, from 1
	Reason string
}

func (b *Broken) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Verify reads one file of a log and checks its chain, which has to go on from after; the
// zero Head takes the file's own word for what was before it. Each entry is given to see,
// which may be nil. It returns the head of the chain after the last good line, with a
// *Broken error where the chain breaks.
func Verify(r io.Reader, after Head, see func(*Entry) error) (Head, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 4<<10), maxLine)
	head, first := after, true
	var n uint64
	for in.Scan() {
		n++
		open, sum, err := unseal(in.Bytes())
		if err != nil {
			return head, &Broken{n, err.Error()}
		}
		if first {
			if head, err = begin(open, after); err != nil {
				return head, &Broken{n, err.Error()}
			}
			first = false
		}
		if head.Sum.next(open) != sum {
			return head, &Broken{n, "was changed, or a line before it was changed, added or taken away"}
		}
		head = Head{head.Lines + 1, sum}
		if err := show(in.Bytes(), see); err != nil {
			return head, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return head, &Broken{n + 1, fmt.Sprintf("is longer than %d bytes", maxLine)}
	}
	return head, in.Err()
}

// begin reads a file's first line and returns the head that it goes on from.
func begin(open []byte, after Head) (Head, error) {
	h, err := readHeader(open)
	if err != nil {
		return after, err
	}
	sum, err := ParseSum(h.After)
	if err != nil {
		return after, fmt.Errorf("after: %w", err)
	}
	if before := (Head{h.Lines, sum}); after != (Head{}) && before != after {
		return after, fmt.Errorf("goes on from %s, want %s", before, after)
	}
	return Head{h.Lines, sum}, nil
}

func readHeader(open []byte) (*header, error) {
	h := &header{}
	if err := json.Unmarshal(append(bytes.Clone(open), '}'), h); err != nil || h.EventType != eventChain {
		return nil, errors.New("does not begin with a chain's header")
	}
	return h, nil
}

func show(line []byte, see func(*Entry) error) error {
	if see == nil {
		return nil
	}
	e := &Entry{}
	if err := json.Unmarshal(line, e); err != nil {
		return err
	}
	if e.EventType == eventChain {
		return nil
	}
	return see(e)
}
