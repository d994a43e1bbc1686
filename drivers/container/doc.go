// Package container runs tasks in containers: it is what the drivers share whose tasks run
// under containerd. A driver reads its options and makes a Plan of them; everything else,
// from the control group to what is left after a killed agent, is done here, once.
//
//	rt, err := container.New(container.Config{Seccomp: runtime.Seccomp()}, engine)
//	go rt.Run(ctx)
//	h, err := rt.Start(ctx, "docker", spec, func(ctx context.Context, c *client.Client) (*container.Plan, error) { … })
//
// One Runtime serves all drivers of an agent. They embed it and have its methods: Recover,
// Wait, Stop, Signal, Stats, Exec, Remove and Reap know a task by its handle alone.
//
// The tasks of an allocation share a shim, which is the parent of their first processes.
// Everything that is made carries the task's ID; a task is found again through it, ended as a
// whole with its control group, and reaped when nobody knows it.
package container
