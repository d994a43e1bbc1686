package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Output is kept without the times of its lines. What -since goes by is when each file of a
// stream was written last, and the times that lines begin with, where a program writes them.

// sinceNote is told once when lines without times are printed: they may be older.
const sinceNote = "-since: output without times of its own begins with the file that was written since then, so that older lines may be among it; -n N prints the last lines"

// logSince is where in a stream the output of the last while begins.
type logSince struct {
	at    time.Time
	start int64 // bytes before the first file that was written since
	none  bool  // nothing was
}

// since finds where to begin with a stream: behind the files that nothing was written to since.
func (l *logReader) sinceOf(ctx context.Context, s logSource) (*logSince, error) {
	w := &logSince{at: l.Now().Add(-l.since)}
	files, err := l.client.Files().List(ctx, s.alloc, "alloc/logs")
	if err != nil {
		return nil, err
	}
	number := func(f *nomadish.AllocFileInfo) int {
		text, ok := strings.CutPrefix(path.Base(f.Name), s.task+"."+s.kind+".")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || f.IsDir {
			return -1
		}
		return n
	}
	files = slices.DeleteFunc(files, func(f *nomadish.AllocFileInfo) bool { return number(f) < 0 })
	slices.SortFunc(files, func(a, b *nomadish.AllocFileInfo) int { return number(a) - number(b) })
	w.none = true
	for _, f := range files {
		if w.none = f.ModTime.Before(w.at); !w.none {
			break
		}
		w.start += f.Size
	}
	return w, nil
}

// sinceFilter leaves out the lines whose own times are older.
type sinceFilter struct {
	at      time.Time
	old     bool // the last time seen was
	untimed func()
	seen    bool // a time
}

// wants says whether a line is wanted; one without a time goes with the line before it.
func (f *sinceFilter) wants(line []byte) bool {
	if at, ok := lineTime(line); ok {
		f.seen, f.old = true, at.Before(f.at)
	} else if !f.seen {
		f.untimed()
	}
	return !f.old
}

// stamp finds a time with its zone at the beginning of a line: alone, in brackets, or as the
// value of a first key such as time=.
var stamp = regexp.MustCompile(`^[\[("]?(?:[a-z@]{1,10}=)?"?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))`)

// lineTime is the time that a line says that it was written at. A time without a zone could be
// any time, and is none.
func lineTime(line []byte) (time.Time, bool) {
	text := ""
	if m := stamp.FindSubmatch(line[:min(len(line), 64)]); m != nil {
		text = strings.Replace(strings.Replace(string(m[1]), " ", "T", 1), ",", ".", 1)
	} else if bytes.HasPrefix(line, []byte("{")) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(line, &fields) != nil {
			return time.Time{}, false
		}
		for _, key := range []string{"time", "ts", "timestamp", "@timestamp"} {
			if json.Unmarshal(fields[key], &text) == nil && text != "" {
				break
			}
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// noteOnce tells once that lines may be older than asked.
func (l *logReader) noteOnce() func() {
	return sync.OnceFunc(func() { fmt.Fprintln(l.Stderr, sinceNote) })
}

// tailCount joins "-tail N" to "-tail=N" where another argument is left to name the job: -tail
// alone takes no value, as Nomad's.
func tailCount(args []string) []string {
	i := slices.IndexFunc(args, func(a string) bool { return a == "-tail" || a == "--tail" })
	if i < 0 || i+1 == len(args) || !digits(args[i+1]) {
		return args
	}
	others := slices.Concat(args[:i], args[i+2:])
	if !slices.ContainsFunc(others, func(a string) bool { return !strings.HasPrefix(a, "-") }) {
		return args
	}
	return slices.Concat(args[:i], []string{args[i] + "=" + args[i+1]}, args[i+2:])
}

func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}
