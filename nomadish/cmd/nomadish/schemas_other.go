//go:build !linux

package main

import "github.com/nomadish/nomadish/nomadish"

// schemas are none: the drivers are not built here.
func schemas() map[string]nomadish.ConfigSchema { return nil }
