package drivers

import "github.com/nomadish/nomadish/nomadish"

// Schema describes a config block.
type Schema = nomadish.ConfigSchema
