//go:build !linux

package hooks

import "context"

func makeGroup(string) (made bool, err error)            { return false, nil }
func removeGroups(context.Context, string, string) error { return nil }
