package main

import (
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/exec"
	"github.com/nomadish/nomadish/drivers/java"
	"github.com/nomadish/nomadish/drivers/mock"
	"github.com/nomadish/nomadish/drivers/qemu"
	"github.com/nomadish/nomadish/drivers/rawexec"
	"github.com/nomadish/nomadish/nomadish"
)

// schemas are the options of the standard drivers, which need no driver to be made.
func schemas() map[string]nomadish.ConfigSchema {
	return map[string]nomadish.ConfigSchema{
		docker.Name:  docker.Schema(),
		exec.Name:    (*exec.Driver)(nil).Schema(),
		java.Name:    (*java.Driver)(nil).Schema(),
		mock.Name:    (*mock.Driver)(nil).Schema(),
		qemu.Name:    (*qemu.Driver)(nil).Schema(),
		rawexec.Name: (*rawexec.Driver)(nil).Schema(),
	}
}
