//go:build linux

package shim

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
)

// drainTimeout bounds how long an end waits for its output; a process that left the
// container's namespaces may hold on to it.
const drainTimeout = time.Second

// service is containerd's task service, watched for where containers write their output.
type service struct {
	taskapi.TTRPCTaskService
	out *outputs
}

// RegisterTTRPC offers the service to containerd.
func (s service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	return nil
}

// Create makes a container and remembers its output files.
func (s service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	s.out.set(r.ID, r.Stdout, r.Stderr)
	return s.TTRPCTaskService.Create(ctx, r)
}

// Delete removes a container, or a command run inside one.
func (s service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	if r.ExecID == "" {
		s.out.forget(r.ID)
	}
	return s.TTRPCTaskService.Delete(ctx, r)
}

// outputs knows the output files of the shim's containers.
type outputs struct {
	mu    sync.Mutex
	files map[string][]string
}

func (o *outputs) set(id string, files ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[id] = files
}

func (o *outputs) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, id)
}

// drain returns when the shim has closed the container's output files: then all that was
// written is in them.
func (o *outputs) drain(id string) {
	o.mu.Lock()
	files := o.files[id]
	o.mu.Unlock()
	for end := time.Now().Add(drainTimeout); anyOpen(files) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// anyOpen says whether this process has one of the files open.
func anyOpen(files []string) bool {
	var want []os.FileInfo
	for _, f := range files {
		if info, err := os.Stat(f); f != "" && err == nil && info.Mode().IsRegular() {
			want = append(want, info)
		}
	}
	if len(want) == 0 {
		return false
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return false
	}
	for _, fd := range fds {
		have, err := os.Stat(filepath.Join("/proc/self/fd", fd.Name()))
		if err != nil {
			continue
		}
		for _, w := range want {
			if os.SameFile(have, w) {
				return true
			}
		}
	}
	return false
}
