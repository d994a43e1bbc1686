package nodesim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/nomadish"
)

// kind is a kind of machine.
type kind struct {
	class  string
	share  int // of all machines, in percent
	cores  int
	mhz    int
	memory int64 // MiB
	disk   int64 // MiB
	attrs  map[string]string
	driver []string
}

// kinds are the machines of a fleet.
var kinds = []kind{
	{
		class: "small", share: 25, cores: 4, mhz: 2000, memory: 16 << 10, disk: 100 << 10,
		attrs:  map[string]string{"cpu.modelname": "AMD EPYC 7B12", "kernel.version": "6.1.0-18-amd64"},
		driver: []string{"docker", "exec", "raw_exec"},
	},
	{
		class: "general", share: 50, cores: 32, mhz: 2500, memory: 256 << 10, disk: 500 << 10,
		attrs:  map[string]string{"cpu.modelname": "Intel(R) Xeon(R) Platinum 8481C", "kernel.version": "6.1.0-18-amd64"},
		driver: []string{"docker", "exec", "java", "raw_exec"},
	},
	{
		class: "storage", share: 20, cores: 16, mhz: 3100, memory: 128 << 10, disk: 8 << 20,
		attrs:  map[string]string{"cpu.modelname": "AMD EPYC 9554P", "kernel.version": "5.10.0-28-amd64", "platform.raid": "nvme"},
		driver: []string{"docker", "exec", "java", "qemu", "raw_exec"},
	},
	{
		class: "arm", share: 5, cores: 64, mhz: 3000, memory: 256 << 10, disk: 500 << 10,
		attrs:  map[string]string{"cpu.modelname": "Neoverse-N1", "cpu.arch": "arm64", "arch": "arm64", "kernel.arch": "aarch64", "kernel.version": "6.1.0-18-arm64"},
		driver: []string{"docker", "exec", "raw_exec"},
	},
}

const racks = 50

// describe makes the nodes of a fleet. The same configuration always gives the same.
func describe(cfg Config) []*nomadish.Node {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x6e6f6465)) //nolint:gosec // nodes of a simulation
	bases := make([]*nomadish.Node, 0, len(kinds)*racks)
	for _, k := range kinds {
		for rack := range racks {
			bases = append(bases, k.node(cfg, rack))
		}
	}
	nodes := make([]*nomadish.Node, cfg.Nodes)
	for i := range nodes {
		n := *bases[pick(rng)*racks+rng.IntN(racks)]
		n.ID, n.SecretID = randomID(rng), nomadish.SecretText(randomID(rng))
		n.Name = fmt.Sprintf("sim-%05d", i)
		n.Attributes = maps.Clone(n.Attributes)
		n.Attributes["unique.hostname"] = n.Name
		n.Attributes["unique.storage.bytesfree"] = strconv.FormatInt(n.NodeResources.Disk.DiskMB<<20-rng.Int64N(1<<30), 10)
		nodes[i] = &n
	}
	return nodes
}

// pick chooses a kind by its share.
func pick(rng *rand.Rand) int {
	at := rng.IntN(100)
	for i, k := range kinds {
		if at -= k.share; at < 0 {
			return i
		}
	}
	return 0
}

// randomID makes a UUID of version 4.
func randomID(rng *rand.Rand) string {
	hi, lo := rng.Uint64()&^0xf000|0x4000, rng.Uint64()&^(3<<62)|1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
}

// node describes a machine of the kind without what is its own.
func (k kind) node(cfg Config, rack int) *nomadish.Node {
	mhz := k.cores * k.mhz
	n := &nomadish.Node{
		Datacenter: cfg.Datacenter, NodePool: cfg.NodePool, NodeClass: k.class,
		Attributes: map[string]string{
			"arch": "amd64", "cpu.arch": "amd64", "cpu.frequency": strconv.Itoa(k.mhz), "cpu.numcores": strconv.Itoa(k.cores),
			"cpu.reservablecores": strconv.Itoa(k.cores), "cpu.totalcompute": strconv.Itoa(mhz), "cpu.usablecompute": strconv.Itoa(mhz),
			"kernel.arch": "x86_64", "kernel.name": "linux", "memory.totalbytes": strconv.FormatInt(k.memory<<20, 10),
			"nomad.service_discovery": "true", "nomad.version": "2.0.6", "nomadish.version": "simulated",
			"os.cgroups.version": "2", "os.name": "debian", "os.version": "12",
			"unique.storage.bytestotal": strconv.FormatInt(k.disk<<20, 10), "unique.storage.volume": "/dev/vda",
			"unique.network.ip-address": "127.0.0.1",
		},
		Meta:                  map[string]string{"rack": fmt.Sprintf("r%02d", rack+1)},
		Links:                 map[string]string{},
		Drivers:               map[string]*nomadish.DriverInfo{},
		ReservedResources:     &nomadish.NodeReservedResources{},
		CgroupParent:          "nomadish",
		Status:                nomadish.NodeStatusReady,
		SchedulingEligibility: nomadish.NodeEligible,
	}
	maps.Copy(n.Attributes, k.attrs)
	for _, name := range k.driver {
		attrs := map[string]string{"driver." + name: "1", "driver." + name + ".version": "1.0.0"}
		maps.Copy(n.Attributes, attrs)
		n.Drivers[name] = &nomadish.DriverInfo{Attributes: attrs, Detected: true, Healthy: true, HealthDescription: "Healthy", UpdateTime: time.Unix(0, 0).UTC()}
	}
	n.NodeResources = k.resources()
	n.ComputedClass = fingerprint.ComputedClass(n)
	return n
}

func (k kind) resources() *nomadish.NodeResources {
	cores := make([]uint16, k.cores)
	for i := range cores {
		cores[i] = uint16(i)
	}
	return &nomadish.NodeResources{
		Cpu:      nomadish.NodeCpuResources{CpuShares: int64(k.cores * k.mhz), TotalCpuCores: uint16(k.cores), ReservableCpuCores: cores},
		Memory:   nomadish.NodeMemoryResources{MemoryMB: k.memory},
		Disk:     nomadish.NodeDiskResources{DiskMB: k.disk},
		Networks: []*nomadish.NetworkResource{{Mode: "host", Device: "eth0", CIDR: "127.0.0.1/32", IP: "127.0.0.1", MBits: nomadish.Ptr(10_000)}},
		NodeNetworks: []*nomadish.NodeNetwork{{
			Mode: "host", Device: "eth0", Speed: 10_000,
			Addresses: []nomadish.NodeNetworkAddress{{Family: "ipv4", Alias: "default", Address: "127.0.0.1"}},
		}},
		MinDynamicPort: 20_000, MaxDynamicPort: 32_000,
	}
}
