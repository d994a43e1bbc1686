//go:build linux && !faults

package cluster

// everything says whether the tests run as long and as often as they have to for figures.
const everything = false
