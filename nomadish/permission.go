package nomadish

// Permission is something that a caller may be allowed to do: a noun and, after a colon,
// what may be done with it. Those of a namespace, a node pool, a host volume or a variable
// are asked together with its name.
type Permission string

// Rights answer what a caller may do. They are fixed when the caller is recognised, and safe
// for concurrent use.
type Rights interface {
	// Management says whether everything is allowed.
	Management() bool
	// Allows says whether a permission is given. The namespace counts for permissions of
	// namespaces and variables, where "*" asks for any namespace at all; name is the node
	// pool, host volume, plugin or path of a variable that the permission is about.
	Allows(p Permission, namespace, name string) bool
}
