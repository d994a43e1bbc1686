// Package docker runs tasks in containers. It answers to driver = "docker" with the options
// and meanings that job files have for it, and needs no Docker: it is a client of
// containerd, usually the one that package engine keeps.
//
// An image comes from a registry, or from an OCI or docker archive that the option load
// names: a file in the task's directory, or one below a directory of images.Config.Archives.
//
// What each option does is in one table, options: it works, it has no effect and a notice says
// so, or it is refused with a reason. settingsOf reads a config block by it, mounter makes the
// mounts, plan puts all into a container.Plan. What of the host a task can name in its options
// is opened where nothing leads elsewhere (openSource), and mounted from a stage that no task
// reaches: the runtime takes paths, and tasks can change those of their own directories at any
// time.
//
//	e, err := engine.New(engine.Config{DataDir: dir})
//	r, err := container.New(container.Config{Seccomp: runtime.Seccomp()}, e)
//	store, err := images.New(images.Config{}, r)
//	d := docker.New(docker.Config{}, r, store)
package docker
