// Package docker runs tasks in containers. It answers to driver = "docker" with the options
// and meanings that job files have for it, and needs no Docker: it is a client of
// containerd, usually the one that package engine keeps.
//
// An image comes from a registry, or from an OCI or docker archive that the option load
// names: a file in the task's directory, or one below a directory of Config.ImageArchives.
// Until groups have network namespaces of their own, a task without one uses the host's
// network and must listen on the port that it was given.
//
//	e, err := engine.New(engine.Config{DataDir: dir})
//	d, err := docker.New(docker.Config{Seccomp: runtime.Seccomp()}, e)
//
// Everything that the driver makes carries the task's ID; a task is found again through it,
// ended as a whole with its control group, and reaped when nobody knows it.
package docker
