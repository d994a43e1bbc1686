//go:build linux

package containerd

import (
	"context"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"google.golang.org/grpc"
)

// finishTimeout bounds a call whose caller may be gone.
const finishTimeout = 2 * time.Minute

// finishTasks puts tasks in front of the server's tasks service.
func finishTasks() {
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	registry.Reset()
	for _, r := range all {
		if r.Type == plugins.ServicePlugin && r.ID == services.TasksService {
			inner := r.InitFn
			r.InitFn = func(ic *plugin.InitContext) (any, error) {
				service, err := inner(ic)
				if err != nil {
					return nil, err
				}
				return tasks{service.(tasksapi.TasksClient)}, nil
			}
		}
		registry.Register(&r)
	}
}

// tasks ends what it has begun also when the agent that asked for it dies meanwhile. The
// server would give up in the middle, and leave a shim that nobody knows.
type tasks struct{ tasksapi.TasksClient }

// Create makes a container's process.
func (t tasks) Create(ctx context.Context, r *tasksapi.CreateTaskRequest, opts ...grpc.CallOption) (*tasksapi.CreateTaskResponse, error) {
	ctx, cancel := finish(ctx)
	defer cancel()
	return t.TasksClient.Create(ctx, r, opts...)
}

// Start runs it.
func (t tasks) Start(ctx context.Context, r *tasksapi.StartRequest, opts ...grpc.CallOption) (*tasksapi.StartResponse, error) {
	ctx, cancel := finish(ctx)
	defer cancel()
	return t.TasksClient.Start(ctx, r, opts...)
}

// Delete removes it, and ends its shim.
func (t tasks) Delete(ctx context.Context, r *tasksapi.DeleteTaskRequest, opts ...grpc.CallOption) (*tasksapi.DeleteResponse, error) {
	ctx, cancel := finish(ctx)
	defer cancel()
	return t.TasksClient.Delete(ctx, r, opts...)
}

func finish(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
}
