package httpapi

import "testing"

// Every route has a permission, a handler and a place, and no two answer the same request.
func TestRoutes(t *testing.T) {
	a := &API{}
	routes := a.routes()
	if _, err := newTable(routes); err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Permission == "" || r.Handle == nil || len(r.Methods) == 0 {
			t.Errorf("%v %s: permission %q, handler set: %t", r.Methods, r.Path, r.Permission, r.Handle != nil)
		}
	}
}
