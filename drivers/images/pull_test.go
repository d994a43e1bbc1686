//go:build linux

package images_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
)

// A fault that may pass is tried again, one that stays is not.
func TestRetry(t *testing.T) {
	s := newStore(t, images.Config{})
	for _, tt := range []struct {
		name   string
		status int
		times  int32 // that the registry fails
		ok     bool
		asked  int // for the manifest, until it is given
	}{
		{name: "twice unavailable", status: http.StatusServiceUnavailable, times: 2, ok: true, asked: 5},
		{name: "always unavailable", status: http.StatusServiceUnavailable, times: 1000, asked: 8},
		{name: "missing", status: http.StatusNotFound, times: 1000, asked: 2},
		{name: "forbidden", status: http.StatusForbidden, times: 1000, asked: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newPlainHub(t)
			ref := h.push(t, "app:1", build(t, "x", 10))
			var failed atomic.Int32
			h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/manifests/1") || failed.Add(1) > tt.times {
					return false
				}
				w.WriteHeader(tt.status)
				return true
			})
			_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref})
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				release()
			}
			if n := h.count("HEAD") + h.count("GET /v2/app/manifests/1"); n > tt.asked {
				t.Errorf("asked %d times, want at most %d: %v", n, tt.asked, h.asked)
			}
		})
	}
}

// A registry that goes silent fails the download; the next one goes on where it stopped.
func TestIdle(t *testing.T) {
	s, h := newStore(t, images.Config{Idle: 200 * time.Millisecond}), newPlainHub(t)
	img := build(t, "x", 6<<20)
	ref := h.push(t, "app:1", img)
	h.intercept(halfway(t, img, nil, nil))
	_, _, err := s.Get(containertest.Context(t), images.Request{Ref: ref})
	if err == nil || !strings.Contains(err.Error(), "pull_activity_timeout") || !drivers.IsRecoverable(err) {
		t.Fatalf("error %v", err)
	}
	goesOn(t, s, h, ref, serveRanges(t, img))
}

// goesOn gets the rest of an image of which half is here.
func goesOn(t *testing.T, s *images.Store, h *hub, ref string, serve func(http.ResponseWriter, *http.Request) bool) {
	t.Helper()
	h.intercept(serve)
	h.forget()
	get(t, s, images.Request{Ref: ref})
	if h.count("bytes=") == 0 || h.count("bytes=0-") != 0 {
		t.Errorf("the registry was asked for all again: %v", h.asked)
	}
}

// An agent that is killed during a download leaves what it has to the next one.
func TestKilledAgent(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	img := build(t, "x", 6<<20)
	ref := h.push(t, "app:1", img)
	gone := make(chan struct{}, 10)
	h.intercept(halfway(t, img, nil, gone))
	if _, err := s.List(containertest.Context(t)); err != nil { // containerd runs and stays
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), pullInChild+"="+ref, "NOMADISH_TEST_DIR="+world.Dir, "NOMADISH_TEST_PROGRAM="+world.Program)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	digest, content := biggest(t, img)
	containertest.Eventually(t, "half of the layer is here", func() bool {
		return ingested(t, digest) >= int64(len(content)/4) // containerd takes it in pieces of 1 MiB
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	<-gone
	goesOn(t, s, h, ref, serveRanges(t, img))
}

// ingested is how much of a layer containerd has received.
func ingested(t *testing.T, digest string) int64 {
	t.Helper()
	c, ctx, err := world.Runtime(t).Client(containertest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range found {
		if strings.HasSuffix(st.Ref, digest) {
			return st.Offset
		}
	}
	return 0
}

// Tasks that want an image at once share one download.
func TestOnePullForMany(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	img := build(t, "x", 6<<20)
	ref := h.push(t, "app:1", img)
	goOn := make(chan struct{})
	h.intercept(halfway(t, img, goOn, nil))
	var all sync.WaitGroup
	var downloading atomic.Int32
	for range 20 {
		var once sync.Once
		all.Go(func() {
			_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref, Notify: func(n drivers.Notice) {
				if n.Done > 1<<20 {
					once.Do(func() { downloading.Add(1) })
				}
			}})
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			release()
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	single := make(chan error, 1)
	go func() {
		_, _, err := s.Get(ctx, images.Request{Ref: ref})
		single <- err
	}()
	containertest.Eventually(t, "all see the download", func() bool { return downloading.Load() == 20 })
	cancel()
	if err := <-single; !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone got %v", err)
	}
	close(goOn)
	all.Wait()
	digest, _ := biggest(t, img)
	if n := h.count("GET /v2/app/blobs/" + digest); n != 1 {
		t.Errorf("the layer was downloaded %d times", n)
	}
}

// A download that nobody waits for any more ends.
func TestUnwantedPull(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	img := build(t, "x", 6<<20)
	ref := h.push(t, "app:1", img)
	gone := make(chan struct{}, 10)
	h.intercept(halfway(t, img, nil, gone))
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if _, _, err := s.Get(ctx, images.Request{Ref: ref}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	digest, _ := biggest(t, img)
	containertest.Eventually(t, "the layer is asked for", func() bool { return h.count("GET /v2/app/blobs/"+digest) > 0 })
	cancel()
	waiting.Wait()
	<-gone
}

// The progress grows to the image's size, and is told at most four times a second.
func TestProgress(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	img := build(t, "x", 6<<20)
	ref := h.push(t, "app:1", img)
	_, content := biggest(t, img)
	goOn := make(chan struct{})
	h.intercept(halfway(t, img, goOn, nil))
	var told []drivers.Notice
	var times []time.Time
	get(t, s, images.Request{Ref: ref, Notify: func(n drivers.Notice) {
		if n.Done > int64(len(content)/4) && goOn != nil {
			close(goOn)
			goOn = nil
		}
		told, times = append(told, n), append(times, time.Now())
	}})
	if len(told) == 0 {
		t.Fatal("nothing was told")
	}
	for i, n := range told {
		if n.Key != "image" || !strings.Contains(n.Message, ref) || n.Done > n.Total || i > 0 && n.Done < told[i-1].Done {
			t.Errorf("notice %d: %+v", i, n)
		}
	}
	if last := told[len(told)-1]; last.Total < int64(len(content)) || last.Done < int64(len(content)/4) {
		t.Errorf("last %+v of %d bytes", last, len(content))
	}
	if n := len(times); n > 1 && times[n-1].Sub(times[0]) < time.Duration(n-1)*100*time.Millisecond {
		t.Errorf("%d notices in %s", n, times[n-1].Sub(times[0]))
	}
}

// No more images are downloaded at once than the node allows.
func TestPullsAreBounded(t *testing.T) {
	s := newStore(t, images.Config{MaxPulls: 2})
	var now, most atomic.Int32
	var all sync.WaitGroup
	for i := range 6 {
		h := newPlainHub(t)
		ref := h.push(t, "app:1", build(t, fmt.Sprint(i), 10))
		h.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(5 * time.Millisecond) // gives the others a chance to be too many
				now.Add(-1)
			}
			return false
		})
		all.Go(func() { get(t, s, images.Request{Ref: ref}) })
	}
	all.Wait()
	if n := most.Load(); n > 2 {
		t.Errorf("%d downloads at once", n)
	}
}

// BenchmarkPull gets an image with one layer of 50 MB that does not compress from a registry
// on loopback, unpacked.
func BenchmarkPull(b *testing.B) {
	const size = 50 << 20
	s, h := newStore(b, images.Config{}), newPlainHub(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		ref := h.push(b, "app:1", build(b, fmt.Sprint(i), size))
		b.StartTimer()
		get(b, s, images.Request{Ref: ref, Force: true})
	}
}
