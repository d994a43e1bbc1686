package client

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/nomadish/nomadish/nomadish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// BenchmarkStart is the way from the servers' decision to their knowing that the task
// runs, with a driver that takes no time.
func BenchmarkStart(b *testing.B) {
	for _, at := range []int{1, 50} {
		b.Run(fmt.Sprintf("at_once=%d", at), func(b *testing.B) {
			w, server := newWorld(), newFakeServer()
			start(b, testConfig(b.TempDir(), w), server, nil)
			job := newJob("service", newTask("t", nil))
			b.ReportAllocs()
			for b.Loop() {
				ids := make([]string, at)
				for i := range ids {
					a := newAlloc(job)
					ids[i] = a.ID
					server.place(a)
				}
				for _, id := range ids {
					server.await(id, nomadish.AllocClientRunning)
				}
				for _, id := range ids {
					server.forget(id)
				}
			}
		})
	}
}
