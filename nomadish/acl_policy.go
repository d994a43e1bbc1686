package nomadish

import (
	"errors"
	"strings"
)

// Limits of what access control is made of.
const (
	maxACLName        = 128
	maxACLDescription = 256
	maxACLTokenName   = 256
	maxACLRules       = 256 << 10 // bytes of a policy's text
	maxACLLinks       = 1000      // policies and roles of a token, policies of a role
)

// ACLPolicy is a set of rules under a name. A token has the rights of its policies together.
type ACLPolicy struct {
	Name        string
	Description string
	Rules       string  // in HCL or JSON; package acl compiles them
	JobACL      *JobACL // tasks whose workload identity has the policy without a token
	CreateIndex uint64
	ModifyIndex uint64
}

// JobACL names tasks by job, group and task; what is left empty is any. Names match exactly.
type JobACL struct {
	Namespace string
	JobID     string
	Group     string
	Task      string
}

// Matches says whether a task is among those that j names.
func (j *JobACL) Matches(namespace, job, group, task string) bool {
	return j != nil && j.Namespace == namespace && j.JobID == job &&
		(j.Group == "" || j.Group == group) && (j.Task == "" || j.Task == task)
}

// ACLPolicyListStub is an ACLPolicy in lists.
type ACLPolicyListStub struct {
	Name        string
	Description string
	JobACL      *JobACL
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns what lists show.
func (p *ACLPolicy) Stub() *ACLPolicyListStub {
	return &ACLPolicyListStub{Name: p.Name, Description: p.Description, JobACL: p.JobACL, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex}
}

// Validate says what is wrong with a policy, but for what is wrong with its rules.
func (p *ACLPolicy) Validate() error {
	errs := []error{checkACLName("name", p.Name), checkACLDescription(p.Description)}
	if len(p.Rules) > maxACLRules {
		errs = append(errs, Errorf(KindInvalid, "rules have %d bytes, more than the limit of %d", len(p.Rules), maxACLRules))
	}
	if j := p.JobACL; j != nil {
		switch {
		case j.Namespace == "" && (j.JobID != "" || j.Group != "" || j.Task != ""):
			errs = append(errs, errors.New("JobACL: namespace must be set"))
		case j.JobID == "":
			errs = append(errs, errors.New("JobACL: job ID must be set"))
		case j.Group == "" && j.Task != "":
			errs = append(errs, errors.New("JobACL: group must be set where task is"))
		}
	}
	return invalidACL(errs)
}

// ACLRole is a set of policies under a name, for tokens to have.
type ACLRole struct {
	ID          string
	Name        string
	Description string
	Policies    []*ACLRolePolicyLink
	CreateIndex uint64
	ModifyIndex uint64
}

// ACLRolePolicyLink names a policy of a role.
type ACLRolePolicyLink struct{ Name string }

// ACLRoleListStub is an ACLRole in lists.
type ACLRoleListStub struct {
	ID          string
	Name        string
	Description string
	Policies    []*ACLRolePolicyLink
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns what lists show.
func (r *ACLRole) Stub() *ACLRoleListStub { return (*ACLRoleListStub)(r) }

// Validate says what is wrong with a role. Whether its policies exist is not looked at.
func (r *ACLRole) Validate() error {
	errs := []error{checkACLName("name", r.Name), checkACLDescription(r.Description)}
	switch {
	case len(r.Policies) == 0:
		errs = append(errs, errors.New("at least one policy should be specified"))
	case len(r.Policies) > maxACLLinks:
		errs = append(errs, Errorf(KindInvalid, "%d policies, more than the limit of %d", len(r.Policies), maxACLLinks))
	}
	for _, link := range r.Policies {
		errs = append(errs, checkACLName("policy", link.Name))
	}
	return invalidACL(errs)
}

// checkACLName says what is wrong with the name of a policy, role or auth method.
func checkACLName(what, name string) error {
	allowed := func(r rune) bool {
		return r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	if name == "" || len(name) > maxACLName || strings.ContainsFunc(name, func(r rune) bool { return !allowed(r) }) {
		return Errorf(KindInvalid, "invalid %s '%.200s': must be 1 to %d letters, digits and -", what, name, maxACLName)
	}
	return nil
}

func checkACLDescription(s string) error {
	if len(s) > maxACLDescription {
		return Errorf(KindInvalid, "description longer than %d", maxACLDescription)
	}
	return nil
}

// invalidACL makes one error of what is wrong, or nil.
func invalidACL(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return Errorf(KindInvalid, "%w", err)
	}
	return nil
}
