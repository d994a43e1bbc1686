package httpapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Names of headers.
const (
	headerIndex       = "X-Nomad-Index"
	headerKnownLeader = "X-Nomad-KnownLeader"
	headerLastContact = "X-Nomad-LastContact"
	headerNextToken   = "X-Nomad-NextToken"
	headerToken       = "X-Nomad-Token"
	headerNodeID      = "X-Nomadish-Node-Id"
	headerNodeSecret  = "X-Nomadish-Node-Secret"
)

// Raw is a body that is sent as it is.
type Raw struct {
	ContentType string
	Body        io.ReadCloser
}

// Streamed is a body that is written bit by bit. Each write reaches the caller at once.
// An error that comes before the first write makes an ordinary error answer.
type Streamed struct {
	ContentType string
	Write       func(w io.Writer) error
	Ends        bool // it tells by itself why it ends before its time
}

// zippers are kept for the next answer: one takes longer to make than most answers to write.
var zippers, wrappers = zipperPool(gzip.BestSpeed), zipperPool(gzip.NoCompression)

func zipperPool(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(io.Discard, level) // fails only for an unknown level
		return z
	}}
}

// zipFrom is the size from which an answer is made smaller. What fits into a packet anyway is only
// put into gzip's form, as callers expect: packing it takes as long as a write to the state.
const zipFrom = 1 << 10

// buffered is the size up to which net/http keeps an answer until its handler has returned: a
// deadline for writing it would be gone by then.
const buffered = 1 << 10

// respond writes what a handler returned.
func (a *API) respond(w http.ResponseWriter, r *Request, value any) error {
	if away, ok := value.(*elsewhere); ok {
		return transport.Forward(w, r.HTTP, away.way)
	}
	r.writeHeaders(w.Header())
	switch v := value.(type) {
	case nil:
		w.WriteHeader(cmp.Or(r.status, http.StatusOK))
		return nil
	case Raw:
		defer v.Body.Close()
		return a.stream(w, r, Streamed{ContentType: v.ContentType, Write: func(w io.Writer) error {
			_, err := io.Copy(w, readerFunc(func(p []byte) (int, error) {
				if err := r.Context().Err(); err != nil {
					return 0, err
				}
				return v.Body.Read(p)
			}))
			return err
		}})
	case Streamed:
		return a.stream(w, r, v)
	case Upgraded:
		return a.upgrade(w, r, v)
	}
	if e, ok := value.(codec.Appender); ok && r.route.is(Binary) && r.HTTP.Header.Get("Accept") == nomadish.BinaryMediaType {
		w.Header().Set("Content-Type", nomadish.BinaryMediaType)
		return a.send(w, r, codec.Marshal(e))
	}
	body, err := encode(value, r.Query.Pretty)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return a.send(w, r, body)
}

// writeHeaders sets the index headers.
func (r *Request) writeHeaders(h http.Header) {
	if r.hasIndex {
		h.Set(headerIndex, strconv.FormatUint(r.index, 10))
	}
	if r.route.is(Read) {
		h.Set(headerKnownLeader, strconv.FormatBool(r.knownLeader))
		h.Set(headerLastContact, strconv.FormatInt(r.lastContact.Milliseconds(), 10))
	}
	if r.maxAge > 0 {
		h.Set("Cache-Control", fmt.Sprintf("max-age=%d, must-revalidate", int(r.maxAge.Seconds())))
	}
	if r.digest != "" {
		h.Set("Digest", r.digest)
	}
	if r.nextToken != "" {
		h.Set(headerNextToken, r.nextToken)
	}
}

// encode writes value as JSON, without a newline unless it is indented. A list is never null.
func encode(value any, pretty bool) ([]byte, error) {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice && v.IsNil() {
		return []byte("[]"), nil
	}
	body, err := nomadish.EncodeJSON(value)
	if err != nil || !pretty {
		return body, err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, body, "", "    "); err != nil {
		return nil, err
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

// send writes a whole body, compressed if the caller takes that. The caller is gone if
// that fails, so nobody is told.
func (a *API) send(w http.ResponseWriter, r *Request, body []byte) error {
	if len(body) > buffered {
		deadline := time.Now().Add(writeGrace + time.Duration(len(body)/bodyRate)*time.Second)
		if err := r.control.SetWriteDeadline(deadline); err == nil {
			defer r.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection is gone, then
		}
	}
	status := cmp.Or(r.status, http.StatusOK)
	if !acceptsGzip(r.HTTP) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	pool := zippers
	if len(body) < zipFrom {
		pool = wrappers
	}
	z := pool.Get().(*gzip.Writer)
	defer pool.Put(z)
	z.Reset(w)
	if _, err := z.Write(body); err == nil {
		_ = z.Close()
	}
	return nil
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			quality, given := strings.CutPrefix(strings.TrimSpace(params), "q=")
			return !given || strings.Trim(quality, "0.") != ""
		}
	}
	return false
}

// writeGrace is how long one write to a caller may take.
const writeGrace = 30 * time.Second

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// stream lets v write its body.
func (a *API) stream(w http.ResponseWriter, r *Request, v Streamed) error {
	w.Header().Set("Content-Type", v.ContentType)
	f := &flusher{w: w, control: http.NewResponseController(w)}
	defer f.control.SetWriteDeadline(time.Time{}) //nolint:errcheck // not every writer has one
	err := v.Write(f)
	if lost := r.lost(); lost != nil && !v.Ends {
		err = lost
	}
	if err != nil {
		if !f.wrote {
			return err
		}
		// The status is sent: Nomad's clients find the error in the body.
		_, _ = f.Write([]byte(err.Error()))
		return nil
	}
	if !f.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

// flusher passes each write on at once, and gives up on a caller that takes none.
type flusher struct {
	w       http.ResponseWriter
	control *http.ResponseController
	wrote   bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.wrote = true
	_ = f.control.SetWriteDeadline(time.Now().Add(writeGrace)) // not every writer can; those have no peer to wait for
	n, err := f.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, f.control.Flush()
}
