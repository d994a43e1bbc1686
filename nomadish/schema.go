package nomadish

// ConfigSchema describes the config block of a task driver: the attributes that it knows.
type ConfigSchema map[string]ConfigAttribute

// ConfigAttribute is one attribute or block of a driver's config.
type ConfigAttribute struct {
	Type     ConfigType
	Required bool
	Default  string       // as users would write it; for the documentation
	Doc      string       // one sentence
	Block    ConfigSchema // for the block types: what is inside
}

// ConfigType is the type of a config attribute.
type ConfigType uint8

// Types of config attributes. A string attribute takes numbers and bools too, as HCL converts them.
const (
	ConfigString ConfigType = iota
	ConfigNumber
	ConfigBool
	ConfigDuration
	ConfigStringList
	ConfigStringMap // a map, or a list of maps, or a block with free keys
	ConfigBlock     // one block
	ConfigBlockList // any number of blocks
	ConfigAny
)
