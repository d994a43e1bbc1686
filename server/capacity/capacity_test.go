package capacity

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
)

const now = int64(1_800_000_000_000_000_000)

func testNode(id string) *nomadish.Node {
	return &nomadish.Node{
		ID: id, Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible, NodeMaxAllocs: 5,
		NodeResources: &nomadish.NodeResources{
			Cpu:    nomadish.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4, ReservableCpuCores: []uint16{0, 1, 2, 3}},
			Memory: nomadish.NodeMemoryResources{MemoryMB: 1000}, Disk: nomadish.NodeDiskResources{DiskMB: 500},
			MinDynamicPort: 20000, MaxDynamicPort: 20003,
			NodeNetworks: []*nomadish.NodeNetwork{
				{Device: "eth0", Addresses: []nomadish.NodeNetworkAddress{
					{Alias: "default", Address: "fd00::1"}, {Alias: "default", Address: "10.0.0.1"}, {Alias: "same", Address: "10.0.0.1"},
				}},
				{Device: "eth1", Addresses: []nomadish.NodeNetworkAddress{{Alias: "public", Address: "192.0.2.1", ReservedPorts: "443"}}},
			},
		},
		ReservedResources: &nomadish.NodeReservedResources{
			Cpu:      nomadish.NodeReservedCpuResources{ReservedCpuCores: []uint16{0}},
			Memory:   nomadish.NodeReservedMemoryResources{MemoryMB: 100},
			Networks: nomadish.NodeReservedNetworkResources{ReservedHostPorts: "22, 8000-8001"},
		},
	}
}

func testGroup(cpu, memory, disk, cores int, ports ...nomadish.Port) *nomadish.TaskGroup {
	tg := &nomadish.TaskGroup{
		EphemeralDisk: &nomadish.EphemeralDisk{SizeMB: &disk},
		Tasks:         []*nomadish.Task{{Name: "t", Resources: &nomadish.Resources{CPU: &cpu, MemoryMB: &memory, Cores: &cores, MemoryMaxMB: nomadish.Ptr(900)}}},
	}
	if len(ports) > 0 {
		tg.Networks = []*nomadish.NetworkResource{{DynamicPorts: ports}}
	}
	return tg
}

func one(nodes ...*nomadish.Node) *Draft {
	t := New()
	for _, n := range nodes {
		t.PutNode(n)
	}
	return t.View().Draft(now)
}

// Fit names the first resource that is short as users know it.
func TestFit(t *testing.T) {
	port := func(label string, value int, network string) nomadish.Port {
		return nomadish.Port{Label: label, Value: value, HostNetwork: network}
	}
	for _, tt := range []struct {
		group *nomadish.TaskGroup
		want  string
	}{
		{testGroup(3000, 900, 500, 0), ""},
		{testGroup(3001, 900, 500, 0), "cpu"},
		{testGroup(3000, 901, 500, 0), "memory"},
		{testGroup(3000, 900, 501, 0), "disk"},
		{testGroup(0, 1, 1, 3), ""},
		{testGroup(0, 1, 1, 4), "cores"},
		{testGroup(1, 1, 1, 0, port("http", 80, "")), ""},
		{testGroup(1, 1, 1, 0, port("ssh", 22, "")), "network: reserved port collision ssh=22"},
		{testGroup(1, 1, 1, 0, port("a", 8001, "public")), "network: reserved port collision a=8001"},
		{testGroup(1, 1, 1, 0, port("tls", 443, "")), ""},
		{testGroup(1, 1, 1, 0, port("tls", 443, "public")), "network: reserved port collision tls=443"},
		{testGroup(1, 1, 1, 0, port("a", 80, ""), port("b", 80, "same")), "network: reserved port collision b=80"},
		{testGroup(1, 1, 1, 0, port("a", 80, ""), port("b", 80, "public")), ""},
		{testGroup(1, 1, 1, 0, port("a", 0, "private")), `network: no addresses available for "private" network`},
		{testGroup(1, 1, 1, 0, port("a", 99999, "")), "network: invalid port 99999 (out of range)"},
		{testGroup(1, 1, 1, 0, port("a", 0, ""), port("b", 0, ""), port("c", 0, ""), port("d", 0, "")), ""},
		{testGroup(1, 1, 1, 0, port("a", 0, ""), port("b", 0, ""), port("c", 0, ""), port("d", 0, ""), port("e", 0, "same")), "network: dynamic port selection failed"},
		{testGroup(1, 1, 1, 0, port("a", 0, ""), port("b", 0, ""), port("c", 20000, ""), port("d", 20001, ""), port("e", 0, "")), "network: dynamic port selection failed"},
	} {
		d := one(testNode("n"))
		if got := d.Fit(0, Asked(tt.group, false)); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.group.Networks, got, tt.want)
		}
	}
	d := one(testNode("n"))
	for range 5 {
		d.Take(0, &Demand{})
	}
	if got := d.Fit(0, &Demand{}); got != "max allocations exceeded" {
		t.Errorf("with as many allocations as the node takes: %q", got)
	}
}

// Only what runs at the same time counts together.
func TestLifecyclesShare(t *testing.T) {
	task := func(memory int, l *nomadish.TaskLifecycle) *nomadish.Task {
		return &nomadish.Task{Name: fmt.Sprint(memory), Lifecycle: l, Resources: &nomadish.Resources{CPU: nomadish.Ptr(1), MemoryMB: &memory}}
	}
	tg := &nomadish.TaskGroup{Tasks: []*nomadish.Task{
		task(100, nil), task(50, nil), task(400, &nomadish.TaskLifecycle{Hook: "prestart"}),
		task(30, &nomadish.TaskLifecycle{Hook: "prestart", Sidecar: true}), task(200, &nomadish.TaskLifecycle{Hook: "poststop"}),
	}}
	asked := Asked(tg, false)
	if asked.Memory != 430 {
		t.Errorf("%d MiB, want 430: prestart and sidecar", asked.Memory)
	}
	granted, resources, err := one(testNode("n")).Grant(0, asked, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := Granted(resources); got.Amount != granted.Amount {
		t.Errorf("read back: %+v, want %+v", got.Amount, granted.Amount)
	}
}

// What a grant writes into an allocation is what users and tasks expect.
func TestGrant(t *testing.T) {
	tg := testGroup(100, 200, 10, 2, nomadish.Port{Label: "http", To: -1}, nomadish.Port{Label: "db", Value: 5432, To: 99, HostNetwork: "public"})
	d := one(testNode("n"))
	granted, got, err := d.Grant(0, Asked(tg, true), 1)
	if err != nil {
		t.Fatal(err)
	}
	http := granted.Ports[0].Value
	if http < 20000 || http > 20003 {
		t.Errorf("dynamic port %d", http)
	}
	ports := []nomadish.Port{{Label: "http", Value: http, To: http}, {Label: "db", Value: 5432, To: 99, HostNetwork: "public"}}
	want := &nomadish.AllocatedResources{
		Tasks: map[string]*nomadish.AllocatedTaskResources{"t": {
			Cpu:    nomadish.AllocatedCpuResources{CpuShares: 2000, ReservedCores: []uint16{1, 2}},
			Memory: nomadish.AllocatedMemoryResources{MemoryMB: 200, MemoryMaxMB: 900},
		}},
		TaskLifecycles: map[string]*nomadish.TaskLifecycle{"t": nil},
		Shared: nomadish.AllocatedSharedResources{
			DiskMB:   10,
			Networks: []*nomadish.NetworkResource{{Device: "eth1", IP: "192.0.2.1", DynamicPorts: ports}},
			Ports: []nomadish.PortMapping{
				{Label: "http", Value: http, To: http, HostIP: "10.0.0.1"}, {Label: "db", Value: 5432, To: 99, HostIP: "192.0.2.1"},
			},
		},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got - want +\n%s", diff)
	}
}

// A released dynamic port is passed over for a minute, but used when there is no other.
func TestReleasedPortsCool(t *testing.T) {
	table := New()
	table.PutNode(testNode("n"))
	ask := Asked(testGroup(1, 1, 1, 0, nomadish.Port{Label: "a"}), false)
	choose := func(at int64, seed uint64) int {
		granted, _, err := table.View().Draft(at).Grant(0, ask, seed)
		if err != nil {
			t.Fatal(err)
		}
		return granted.Ports[0].Value
	}
	first := choose(now, 7)
	a := &nomadish.Allocation{ID: "a", NodeID: "n", AllocatedResources: &nomadish.AllocatedResources{
		Shared: nomadish.AllocatedSharedResources{Ports: []nomadish.PortMapping{{Label: "a", Value: first, HostIP: "10.0.0.1"}}},
	}}
	table.PutAllocation(a, now)
	if choose(now, 7) == first {
		t.Error("a port in use is chosen")
	}
	ended := *a
	ended.ClientStatus = nomadish.AllocClientComplete
	table.PutAllocation(&ended, now)
	if choose(now+int64(59*time.Second), 7) == first {
		t.Error("a port is chosen that was released 59 s ago")
	}
	if choose(now+int64(60*time.Second), 7) != first {
		t.Error("a port is passed over that was released 60 s ago")
	}
	all := Asked(testGroup(1, 1, 1, 0, nomadish.Port{Label: "a"}, nomadish.Port{Label: "b"}, nomadish.Port{Label: "c"}, nomadish.Port{Label: "d"}), false)
	if _, _, err := table.View().Draft(now).Grant(0, all, 7); err != nil {
		t.Errorf("a cooling port is not used though there is no other: %v", err)
	}
}

// A View does not change when the Table does.
func TestViewIsImmutable(t *testing.T) {
	table := New()
	table.PutNode(testNode("n"))
	before := table.View()
	table.PutAllocation(&nomadish.Allocation{ID: "a", NodeID: "n", AllocatedResources: memory(300)}, now)
	table.PutNode(testNode("other"))
	if before.Free(0).Memory != 900 || before.Len() != 1 {
		t.Errorf("%d MiB free of %d nodes, want 900 of 1", before.Free(0).Memory, before.Len())
	}
	if after := table.View(); after.Free(0).Memory != 600 || after.Len() != 2 {
		t.Errorf("%d MiB free of %d nodes, want 600 of 2", after.Free(0).Memory, after.Len())
	}
}

func memory(mb int64, ports ...int) *nomadish.AllocatedResources {
	r := &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{"t": {Memory: nomadish.AllocatedMemoryResources{MemoryMB: mb}}}}
	for _, p := range ports {
		r.Shared.Ports = append(r.Shared.Ports, nomadish.PortMapping{Label: "p", Value: p, HostIP: "10.0.0.1"})
	}
	return r
}

// Whatever nodes and allocations come, change and go, in whatever order, the Table ends as if
// it had been filled with what is there now.
func TestTableIsWhatItWasFilledWith(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := New()
		nodes, allocs := map[string]*nomadish.Node{}, map[string]*nomadish.Allocation{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
			a := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "alloc")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				n := testNode(id)
				n.NodeResources.Memory.MemoryMB = int64(rapid.IntRange(0, 2000).Draw(t, "memory"))
				if rapid.Bool().Draw(t, "fewer networks") {
					n.NodeResources.NodeNetworks = n.NodeResources.NodeNetworks[:1]
				}
				nodes[id] = n
				table.PutNode(n)
			case 1:
				delete(nodes, id)
				table.DeleteNode(id)
			case 2:
				delete(allocs, a)
				table.DeleteAllocation(a, now)
			case 3:
				p := &nomadish.Plan{NodeAllocation: map[string][]*nomadish.Allocation{id: {{ID: "x", NodeID: id, AllocatedResources: memory(10, 80)}}}}
				flight, _ := table.Book(p, now)
				table.Undo(flight, now)
			default:
				allocs[a] = &nomadish.Allocation{
					ID: a, NodeID: id, AllocatedResources: memory(int64(rapid.IntRange(1, 9).Draw(t, "size")), rapid.IntRange(79, 81).Draw(t, "port")),
					ClientStatus: rapid.SampledFrom([]string{"running", "running", "complete"}).Draw(t, "client"), DesiredStatus: rapid.SampledFrom([]string{"run", "stop"}).Draw(t, "desired"),
				}
				table.PutAllocation(allocs[a], now)
			}
		}
		checkSame(t, table, nodes, allocs)
	})
}

func checkSame(t *rapid.T, table *Table, nodes map[string]*nomadish.Node, allocs map[string]*nomadish.Allocation) {
	fresh := New()
	for _, n := range nodes {
		fresh.PutNode(n)
	}
	for _, a := range allocs {
		fresh.PutAllocation(a, now)
	}
	got, want := table.View(), fresh.View()
	for id := range nodes {
		g, _ := got.Find(id)
		w, _ := want.Find(id)
		if got.Free(g) != want.Free(w) {
			t.Fatalf("%s has %+v free, want %+v", id, got.Free(g), want.Free(w))
		}
		for port := 79; port <= 81; port++ {
			ask := Asked(testGroup(0, -9999, 0, 0, nomadish.Port{Label: "p", Value: port}), false)
			if a, b := got.Fit(g, ask), want.Fit(w, ask); a != b {
				t.Fatalf("%s, port %d: %q, want %q", id, port, a, b)
			}
		}
	}
	if len(table.draft.slots) != len(nodes) {
		t.Fatalf("%d nodes, want %d", len(table.draft.slots), len(nodes))
	}
}

func BenchmarkFit(b *testing.B) {
	for _, tg := range []struct {
		name  string
		group *nomadish.TaskGroup
	}{
		{"plain", testGroup(1, 1, 1, 0)},
		{"ports", testGroup(1, 1, 1, 0, nomadish.Port{Label: "a"}, nomadish.Port{Label: "b", Value: 80})},
		{"cores", testGroup(1, 1, 1, 2)},
	} {
		b.Run(tg.name, func(b *testing.B) {
			d, ask := one(testNode("n")), Asked(tg.group, false)
			d.Take(0, Granted(memory(1, 20001)))
			b.ReportAllocs()
			for b.Loop() {
				if short := d.Fit(0, ask); short != "" {
					b.Fatal(short)
				}
			}
		})
	}
}
