package httpapi

import (
	"cmp"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Rates bound how many requests an agent takes from outside. What agents forward to each
// other was counted where it came in.
type Rates struct {
	PerAddress float64 // requests a second from one address, an IPv6 network of 64 bits counting as one; default 5000, negative: no limit
	PerToken   float64 // requests a second with one token; default 2500, negative: no limit
	Burst      float64 // how many seconds' worth may come at once; default 2
}

func (r Rates) withDefaults() Rates {
	r.PerAddress = cmp.Or(r.PerAddress, 5000)
	r.PerToken = cmp.Or(r.PerToken, 2500)
	r.Burst = cmp.Or(r.Burst, 2)
	return r
}

// maxBuckets bounds how many addresses and tokens are told apart. Those beyond share one
// bucket each kind.
const maxBuckets = 1 << 14

// bucketKey is an address or the hash of a token.
type bucketKey struct {
	token bool
	sum   [16]byte
}

// meter counts requests by address and by token.
type meter struct {
	rates Rates

	mu      sync.Mutex
	buckets map[bucketKey]*rate.Limiter
}

func newMeter(r Rates) *meter {
	return &meter{rates: r.withDefaults(), buckets: map[bucketKey]*rate.Limiter{}}
}

// take counts a request at a time. A wait says after how long the next one is taken; what
// names the limit that was reached.
func (m *meter) take(now time.Time, addr, token string) (wait time.Duration, what string) {
	if m.rates.PerAddress > 0 && addr != "" {
		if wait := m.from(addressKey(addr), m.rates.PerAddress, now); wait > 0 {
			return wait, "one address"
		}
	}
	if m.rates.PerToken > 0 && token != "" {
		if wait := m.from(tokenKey(token), m.rates.PerToken, now); wait > 0 {
			return wait, "one token"
		}
	}
	return 0, ""
}

func (m *meter) from(key bucketKey, perSecond float64, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.buckets[key]
	if l == nil {
		if len(m.buckets) >= maxBuckets {
			m.forget(now)
		}
		if len(m.buckets) >= maxBuckets {
			key = bucketKey{token: key.token}
			l = m.buckets[key]
		}
	}
	if l == nil {
		l = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*m.rates.Burst)))
		m.buckets[key] = l
	}
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// forget drops the buckets that are full again: they say nothing.
func (m *meter) forget(now time.Time) {
	for key, l := range m.buckets {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(m.buckets, key)
		}
	}
}

func addressKey(host string) bucketKey {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return bucketKey{sum: shortSum(host)}
	}
	if ip = ip.Unmap(); ip.Is6() {
		if network, err := ip.WithZone("").Prefix(64); err == nil {
			ip = network.Addr()
		}
	}
	return bucketKey{sum: ip.As16()}
}

func tokenKey(token string) bucketKey { return bucketKey{token: true, sum: shortSum(token)} }

func shortSum(s string) [16]byte {
	sum := sha256.Sum256([]byte(s))
	return [16]byte(sum[:16])
}

// limited refuses a request that is one too many.
func (a *API) limited(w http.ResponseWriter, hr *http.Request) error {
	origin := transport.OriginFrom(hr.Context())
	if origin.Hops > 0 || origin.Kind != nomadish.CallerAnonymous || hr.RemoteAddr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(hr.RemoteAddr)
	if err != nil {
		host = hr.RemoteAddr
	}
	wait, what := a.meter.take(time.Now(), host, credentials(hr).Token.Reveal())
	if wait <= 0 {
		return nil
	}
	seconds := int((wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return nomadish.Errorf(nomadish.KindLimited, "too many requests from %s: try again in %d s", what, seconds)
}
