package nomadish

// AccessAnswer says whether a caller may do something.
type AccessAnswer struct {
	Permission Permission
	Namespace  string
	Name       string `json:",omitempty"` // of a node pool, a host volume, or the path of a variable
	Allowed    bool
	Reason     string
	Caller     AccessCaller
}

// AccessCaller is the caller that an AccessAnswer is about.
type AccessCaller struct {
	Kind string // as CallerKind names it
	ID   string `json:",omitempty"` // the accessor of a token, the allocation of a task
	Name string `json:",omitempty"`
}

// AccessHolders says who may do something.
type AccessHolders struct {
	Permission Permission
	Namespace  string
	Name       string               `json:",omitempty"`
	Open       bool                 // there is no access control: everybody may
	Anonymous  bool                 // also who shows no token
	Policies   []AccessPolicy       // that give it, or deny it
	Roles      []AccessRole         // with such policies, of which none denies it
	Tokens     []AccessToken        // that may; none that have expired
	Workloads  []AccessWorkloadRule // tasks that have such a policy without a token
	Truncated  bool                 // there are more tokens than are listed
}

// AccessPolicy is a policy that gives something, or denies it.
type AccessPolicy struct {
	Name   string
	Denies bool `json:",omitempty"`
}

// AccessRole is a role that gives something.
type AccessRole struct {
	ID       string
	Name     string
	Policies []string // those that give it
}

// AccessToken is a token that may do something.
type AccessToken struct {
	AccessorID string
	Name       string
	Type       string
	Policies   []string `json:",omitempty"` // those that give it, its roles' included; none for management
}

// AccessWorkloadRule names tasks that have a policy.
type AccessWorkloadRule struct {
	Policy string
	JobACL *JobACL
}
