package capacity_test

import (
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

func Example() {
	table := capacity.New()
	table.PutNode(&nomadish.Node{ID: "n1", NodeResources: &nomadish.NodeResources{
		Cpu: nomadish.NodeCpuResources{CpuShares: 1000}, Memory: nomadish.NodeMemoryResources{MemoryMB: 512},
	}})
	view := table.View()
	slot, _ := view.Find("n1")
	fmt.Printf("%q\n", view.Fit(slot, &capacity.Demand{Amount: capacity.Amount{CPU: 500, Memory: 256}}))
	fmt.Printf("%q\n", view.Fit(slot, &capacity.Demand{Amount: capacity.Amount{CPU: 500, Memory: 1024}}))
	// Output:
	// ""
	// "memory"
}
