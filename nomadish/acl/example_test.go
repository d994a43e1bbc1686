package acl_test

import (
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
)

func ExampleCompile() {
	policy, err := acl.Parse(`
		namespace "web-*" { policy = "read" }
		namespace "web-admin" { policy = "deny" }
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	rights := acl.Compile(policy)
	fmt.Println(rights.Allows(nomadish.PermReadJob, "web-shop", ""))
	fmt.Println(rights.Allows(nomadish.PermSubmitJob, "web-shop", ""))
	fmt.Println(rights.Allows(nomadish.PermReadJob, "web-admin", ""))
	// Output:
	// true
	// false
	// false
}
