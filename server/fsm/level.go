package fsm

import "github.com/nomadish/nomadish/server/state"

// Levels are the cluster levels that a server can speak.
type Levels struct{ Min, Max uint32 }

// SupportedLevels are those of this program.
func SupportedLevels() Levels { return Levels{Min: state.FirstLevel, Max: MaxLevel} }

// Speaks says whether a server with these levels can be in a cluster at a level.
func (l Levels) Speaks(level uint32) bool { return l.Min <= level && level <= l.Max }

// NextLevel is the level that the cluster can be raised to: the newest that all servers
// speak, but never less than the present one.
func NextLevel(present uint32, servers []Levels) uint32 {
	if len(servers) == 0 {
		return present
	}
	next := servers[0].Max
	for _, l := range servers[1:] {
		next = min(next, l.Max)
	}
	for _, l := range servers {
		if l.Min > next {
			return present // no level suits everybody
		}
	}
	return max(next, present)
}
