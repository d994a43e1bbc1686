//go:build !linux

package hooks

func mountMemory(string, int) (mounted bool, err error) { return false, nil }
func unmount(string) error                              { return nil }
