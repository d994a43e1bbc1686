package nomadish

// Namespace keeps jobs apart: their names, and who may see and change them.
type Namespace struct {
	Name                  string
	Description           string
	Quota                 string
	Capabilities          *NamespaceCapabilities
	NodePoolConfiguration *NamespaceNodePools
	Meta                  map[string]string
	CreateIndex           uint64
	ModifyIndex           uint64
}

// NamespaceCapabilities says which task drivers and network modes a namespace's jobs may
// use. An empty list of enabled ones enables all.
type NamespaceCapabilities struct {
	EnabledTaskDrivers   []string
	DisabledTaskDrivers  []string
	EnabledNetworkModes  []string
	DisabledNetworkModes []string
}

// NamespaceNodePools says in which node pools a namespace's jobs may run.
type NamespaceNodePools struct {
	Default string
	Allowed []string
	Denied  []string
}
