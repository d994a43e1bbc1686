//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/nomadish/nomadish/drivers/output"
)

// drainTimeout bounds how long an end waits for its output; a process that left the
// container's namespaces may hold on to it.
const drainTimeout = time.Second

// service is containerd's task service, which writes what containers say into their logs.
type service struct {
	taskapi.TTRPCTaskService
	out *outputs
}

// RegisterTTRPC offers the service to containerd.
func (s service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	return nil
}

// Create makes a container whose outputs are pipes to their logs.
func (s service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	pipes, err := s.out.open(&r.Stdout, &r.Stderr)
	if err != nil {
		return nil, err
	}
	resp, err := s.TTRPCTaskService.Create(ctx, r)
	if err != nil {
		if err := closeAll(pipes); err != nil {
			log.G(ctx).WithError(err).Error("output of " + r.ID)
		}
		return nil, err // as it is: containerd reads its kind
	}
	s.out.pump(context.WithoutCancel(ctx), r.ID, pipes)
	return resp, nil
}

// Delete removes a container, or a command run inside one.
func (s service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	if r.ExecID == "" {
		s.out.forget(r.ID)
	}
	return s.TTRPCTaskService.Delete(ctx, r)
}

// outputs writes the logs of the shim's containers.
type outputs struct {
	logs output.Set

	mu    sync.Mutex
	ended map[string]<-chan struct{} // by container: closed when all that it says is in its logs
}

// open puts pipes in the place of addresses of logs.
func (o *outputs) open(streams ...*string) (pipes []*output.Pipe, err error) {
	for _, s := range streams {
		to, ours, err := output.Parse(*s)
		if err == nil && !ours {
			continue // nothing, or /dev/null
		}
		var p *output.Pipe
		if err == nil {
			p, err = o.logs.Pipe(to)
		}
		if err != nil {
			return nil, errors.Join(err, closeAll(pipes))
		}
		pipes = append(pipes, p)
		*s = fmt.Sprintf("/proc/self/fd/%d", p.Writer.Fd()) // which containerd's code takes for a fifo
	}
	return pipes, nil
}

func closeAll(pipes []*output.Pipe) (err error) {
	for _, p := range pipes {
		err = errors.Join(err, p.Close())
	}
	return err
}

// pump moves what comes through a container's pipes into its logs. It ends with the container, or
// with the shim.
func (o *outputs) pump(ctx context.Context, id string, pipes []*output.Pipe) {
	var work sync.WaitGroup
	for _, p := range pipes {
		work.Go(func() {
			if err := errors.Join(p.Writer.Close(), p.Run(ctx)); err != nil {
				log.G(ctx).WithError(err).Error("output of " + id)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		work.Wait()
		close(ended)
	}()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended[id] = ended
}

func (o *outputs) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ended, id)
}

// drain returns when all that a container has said is in its logs.
func (o *outputs) drain(id string) {
	o.mu.Lock()
	ended := o.ended[id]
	o.mu.Unlock()
	if ended == nil {
		return
	}
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
	}
}
