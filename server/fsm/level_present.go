//go:build !nextlevel

package fsm

// MaxLevel is the newest cluster level that this program can speak.
const MaxLevel uint32 = 1

// nextKinds are the commands of the build with which the step to the next level is tested.
var nextKinds map[Kind]kindInfo
