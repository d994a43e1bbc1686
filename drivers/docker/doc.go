// Package docker runs tasks in containers. It answers to driver = "docker" with the options
// and meanings that job files have for it, and needs no Docker: it is a client of
// containerd, usually the one that package engine keeps.
//
// An image comes from a registry, or from an OCI or docker archive that the option load
// names: a file in the task's directory, or one below a directory of images.Config.Archives.
// Until groups have network namespaces of their own, a task without one uses the host's
// network and must listen on the port that it was given.
//
//	e, err := engine.New(engine.Config{DataDir: dir})
//	r, err := container.New(container.Config{Seccomp: runtime.Seccomp()}, e)
//	store, err := images.New(images.Config{}, r)
//	d := docker.New(docker.Config{}, r, store)
package docker
