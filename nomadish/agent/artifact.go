package agent

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/client/artifact"
)

// config reads the artifact block of a client, which may be missing. As in Nomad, 0 means
// that there is no limit.
func (a *ArtifactFile) config(r *reading) artifact.Config {
	if a == nil {
		return artifact.Config{}
	}
	c := artifact.Config{
		ReadTimeout:  r.duration("client.artifact.http_read_timeout", a.HTTPReadTimeout),
		MaxSize:      r.size("client.artifact.http_max_size", a.HTTPMaxSize),
		UnpackedSize: r.size("client.artifact.decompression_size_limit", a.SizeLimit),
	}
	if a.HTTPReadTimeout != nil && c.ReadTimeout == 0 {
		c.ReadTimeout = time.Duration(math.MaxInt64)
	}
	if n := a.FileCountLimit; n != nil {
		c.UnpackedFiles = *n
		switch {
		case *n < 0:
			r.fail("client.artifact.decompression_file_count_limit: %d is negative", *n)
		case *n == 0:
			c.UnpackedFiles = -1
		}
	}
	return c
}

// units of sizes, the longer names first.
var units = []struct {
	name string
	size float64
}{
	{"kib", 1 << 10},
	{"mib", 1 << 20},
	{"gib", 1 << 30},
	{"tib", 1 << 40},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"tb", 1e12},
	{"b", 1},
	{"", 1},
}

// size reads a number of bytes such as 100GB; 0 where there is none, negative for no limit.
func (r *reading) size(key string, text *string) int64 {
	if text == nil {
		return 0
	}
	s := strings.ToLower(strings.TrimSpace(*text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n >= 0) || n*u.size >= math.MaxInt64 {
			break
		}
		if n == 0 {
			return -1
		}
		return max(1, int64(n*u.size))
	}
	r.fail("%s: %q is no size such as \"100GB\"", key, *text)
	return 0
}
