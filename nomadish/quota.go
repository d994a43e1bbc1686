package nomadish

import (
	"errors"
	"slices"
)

// QuotaSpec bounds what the namespaces that name it may use together.
type QuotaSpec struct {
	Name        string        `hcl:"name,optional"`
	Description string        `hcl:"description,optional"`
	Limits      []*QuotaLimit `hcl:"limit,block"`
	CreateIndex uint64
	ModifyIndex uint64
}

// QuotaLimit bounds what may be used in one region. A limit of zero is none, a negative one
// allows nothing.
type QuotaLimit struct {
	Region         string          `hcl:"region"`
	RegionLimit    *QuotaResources `hcl:"region_limit,block"`
	VariablesLimit *int            `hcl:"variables_limit,optional"` // older name of RegionLimit.Storage.VariablesMB
	Hash           []byte          // names the limit in QuotaUsage
}

// QuotaResources are amounts of what can be limited.
type QuotaResources struct {
	CPU         *int                   `hcl:"cpu,optional"`
	Cores       *int                   `hcl:"cores,optional"`
	MemoryMB    *int                   `hcl:"memory,optional"`
	MemoryMaxMB *int                   `hcl:"memory_max,optional"`
	Devices     []*RequestedDevice     `hcl:"device,block"`
	NUMA        *NUMAResource          `hcl:"numa,block"`
	SecretsMB   *int                   `hcl:"secrets,optional"`
	Storage     *QuotaStorageResources `hcl:"storage,block"`
	NodePools   []*QuotaNodePool       `hcl:"node_pool,block"`
}

// QuotaNodePool bounds what may be used in one node pool.
type QuotaNodePool struct {
	NodePool    string                 `hcl:",label"`
	CPU         *int                   `hcl:"cpu,optional"`
	Cores       *int                   `hcl:"cores,optional"`
	MemoryMB    *int                   `hcl:"memory,optional"`
	MemoryMaxMB *int                   `hcl:"memory_max,optional"`
	Devices     []*RequestedDevice     `hcl:"device,block"`
	NUMA        *NUMAResource          `hcl:"numa,block"`
	SecretsMB   *int                   `hcl:"secrets,optional"`
	Storage     *QuotaStorageResources `hcl:"storage,block"`
}

// QuotaStorageResources are amounts of what is stored, in MiB.
type QuotaStorageResources struct {
	VariablesMB   int `hcl:"variables,optional"`
	HostVolumesMB int `hcl:"host_volumes,optional"`
}

// QuotaUsage is what the namespaces of a quota use, by the hash of the limit in base64.
type QuotaUsage struct {
	Name        string
	Used        map[string]*QuotaLimit
	CreateIndex uint64
	ModifyIndex uint64
}

// maxQuotaLimits is how many limits a quota may have.
const maxQuotaLimits = 1000

// Validate says what is wrong with a quota.
func (q *QuotaSpec) Validate() error {
	errs := []error{checkACLName("quota name", q.Name), checkACLDescription(q.Description)}
	if n := len(q.Limits); n == 0 || n > maxQuotaLimits {
		errs = append(errs, Errorf(KindInvalid, "%d limits: must be 1 to %d", n, maxQuotaLimits))
	}
	var regions []string
	for i, l := range q.Limits {
		switch {
		case l.Region == "":
			errs = append(errs, Errorf(KindInvalid, "limits[%d]: region is missing", i))
		case slices.Contains(regions, l.Region):
			errs = append(errs, Errorf(KindInvalid, "limits[%d]: region %q has a limit already", i, l.Region))
		case l.RegionLimit == nil:
			errs = append(errs, Errorf(KindInvalid, "limits[%d]: region limit is missing", i))
		default:
			errs = append(errs, l.RegionLimit.validate())
		}
		regions = append(regions, l.Region)
	}
	return invalidACL(errs)
}

func (q *QuotaResources) validate() error {
	if Val(q.CPU) != 0 && Val(q.Cores) != 0 {
		return errors.New("region limit: cpu and cores exclude each other")
	}
	var pools []string
	for _, p := range q.NodePools {
		if err := CheckNodePoolName(p.NodePool); err != nil {
			return err
		}
		if slices.Contains(pools, p.NodePool) {
			return Errorf(KindInvalid, "region limit: node pool %q has a limit already", p.NodePool)
		}
		pools = append(pools, p.NodePool)
	}
	return nil
}
