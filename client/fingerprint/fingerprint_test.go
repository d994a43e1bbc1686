package fingerprint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// machineDir makes the files of a machine that the probes read.
func machineDir(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var debian = map[string]string{
	"proc/cpuinfo":                  "processor\t: 0\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2400.123\n\nprocessor\t: 1\ncpu MHz\t\t: 900\n",
	"sys/devices/system/cpu/online": "0-2,4\n",
	"proc/meminfo":                  "MemTotal:       8192000 kB\nMemFree:  1 kB\n",
	"proc/sys/kernel/osrelease":     "6.1.0-9-amd64\n",
	"etc/os-release":                "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n",
	"proc/self/mountinfo":           "25 30 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
	"sys/fs/cgroup/memory.max":      "max\n",
}

func detect(t *testing.T, cfg Config) *nomadish.Node {
	t.Helper()
	cfg.DataDir, cfg.Loopback = t.TempDir(), true
	n := &nomadish.Node{}
	if err := Detect(t.Context(), cfg, n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDetect(t *testing.T) {
	n := detect(t, Config{Root: machineDir(t, debian), Version: "0.1"})
	for name, want := range map[string]string{
		"cpu.numcores": "4", "cpu.frequency": "2400", "cpu.totalcompute": "9600", "cpu.usablecompute": "9600", "cpu.modelname": "Fast CPU",
		"memory.totalbytes": "8388608000", "kernel.version": "6.1.0-9-amd64", "os.name": "debian", "os.version": "12",
		"os.cgroups.version": "2", "nomad.version": CompatibleVersion, "nomadish.version": "0.1", "unique.network.ip-address": "127.0.0.1",
	} {
		if got := n.Attributes[name]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	r := n.NodeResources
	if r.Cpu.CpuShares != 9600 || r.Cpu.TotalCpuCores != 4 || r.Memory.MemoryMB != 8000 || r.Disk.DiskMB <= 0 || r.MinDynamicPort != 20000 {
		t.Errorf("resources: got %+v", r)
	}
	if len(r.Networks) == 0 || r.Networks[0].IP != "127.0.0.1" || len(r.NodeNetworks) == 0 {
		t.Errorf("networks: got %+v", r.Networks)
	}
}

func TestLimitsAndOverrides(t *testing.T) {
	limited := map[string]string{}
	for k, v := range debian {
		limited[k] = v
	}
	limited["sys/fs/cgroup/memory.max"] = "1073741824\n"
	root := machineDir(t, limited)
	if got := detect(t, Config{Root: root}).NodeResources.Memory.MemoryMB; got != 1024 {
		t.Errorf("memory of a limited group: got %d MiB, want 1024", got)
	}
	r := detect(t, Config{Root: root, CPUTotalMHz: 100, MemoryTotalMB: 77, DiskTotalMB: 55}).NodeResources
	if r.Cpu.CpuShares != 100 || r.Memory.MemoryMB != 77 || r.Disk.DiskMB != 55 {
		t.Errorf("overrides: got %+v", r)
	}
}

func TestComputedClass(t *testing.T) {
	node := func(change func(n *nomadish.Node)) string {
		n := &nomadish.Node{
			ID: nomadish.NewID(), Datacenter: "dc1", NodePool: "default",
			Attributes: map[string]string{"kernel.name": "linux", "unique.hostname": nomadish.NewID()},
			Meta:       map[string]string{"rack": "r1"},
		}
		change(n)
		return ComputedClass(n)
	}
	same := node(func(*nomadish.Node) {})
	if got := node(func(*nomadish.Node) {}); got != same {
		t.Errorf("nodes that differ in unique values alone have classes %s and %s", same, got)
	}
	for name, change := range map[string]func(*nomadish.Node){
		"datacenter": func(n *nomadish.Node) { n.Datacenter = "dc2" },
		"pool":       func(n *nomadish.Node) { n.NodePool = "gpu" },
		"class":      func(n *nomadish.Node) { n.NodeClass = "big" },
		"attribute":  func(n *nomadish.Node) { n.Attributes["kernel.name"] = "darwin" },
		"meta":       func(n *nomadish.Node) { n.Meta["rack"] = "r2" },
		"driver":     func(n *nomadish.Node) { Driver(n, "docker", DriverState{Detected: true, Healthy: true}, time.Now()) },
	} {
		if node(change) == same {
			t.Errorf("nodes that differ in %s have the same class", name)
		}
	}
}

func TestDriver(t *testing.T) {
	n := &nomadish.Node{Attributes: map[string]string{"kernel.name": "linux"}}
	good := DriverState{Detected: true, Healthy: true, Attributes: map[string]string{"driver.docker.version": "1"}}
	for i, tt := range []struct {
		state   DriverState
		changed bool
		version string
		usable  string
	}{
		{good, true, "1", "1"},
		{good, false, "1", "1"},
		{DriverState{Detected: true, Reason: "down", Attributes: map[string]string{"driver.docker.version": "1", "driver.docker": "1"}}, true, "1", ""},
		{DriverState{}, true, "", ""},
	} {
		changed := Driver(n, "docker", tt.state, time.Now())
		if changed != tt.changed || n.Attributes["driver.docker.version"] != tt.version || n.Attributes["driver.docker"] != tt.usable {
			t.Errorf("state %d: changed %v, attributes %v", i, changed, n.Attributes)
		}
	}
}

func TestThisMachine(t *testing.T) {
	n := &nomadish.Node{}
	if err := Detect(t.Context(), Config{DataDir: t.TempDir()}, n); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu.totalcompute", "memory.totalbytes", "unique.storage.bytesfree", "unique.network.ip-address", "kernel.version", "os.name"} {
		if n.Attributes[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestCountRanges(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-1,4,6-7": 5, "": -1, "3-1": -1, "0-99999999": -1, "a": -1} {
		got, err := countRanges(list)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", list, got, want)
		}
	}
}

// A host network is found by its addresses, with the ports that it keeps; interfaces that
// are to be skipped are not there at all.
func TestHostNetworks(t *testing.T) {
	cfg := Config{Root: machineDir(t, debian), HostNetworks: map[string]*nomadish.HostNetworkInfo{
		"inner": {Name: "inner", CIDR: "127.0.0.0/8", ReservedPorts: "22"}, "other": {Name: "other", CIDR: "192.0.2.0/32"},
		"byname": {Name: "byname", Interface: "lo"},
	}}
	reserved := map[string]string{}
	for _, nn := range detect(t, cfg).NodeResources.NodeNetworks {
		for _, a := range nn.Addresses {
			if a.Address == "127.0.0.1" {
				reserved[a.Alias] = a.ReservedPorts
			}
		}
	}
	if d := cmp.Diff(map[string]string{"default": "", "inner": "22", "byname": ""}, reserved); d != "" {
		t.Errorf("reserved ports of 127.0.0.1 by host network (-want +got): %s", d)
	}
	cfg.DataDir, cfg.Loopback, cfg.Skip = t.TempDir(), true, func(string) bool { return true }
	if err := Detect(t.Context(), cfg, &nomadish.Node{}); err == nil || !strings.Contains(err.Error(), "no interface has an address") {
		t.Errorf("with all interfaces skipped: got %v", err)
	}
}
