package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
)

// AccessSurvey says who may do what.
type AccessSurvey interface {
	WhoCan(ctx context.Context, p nomadish.Permission, namespace, name string) (*nomadish.AccessHolders, error)
}

// canI says whether the caller has a permission.
func (a *API) canI(r *Request) (any, error) {
	p, err := r.permission()
	if err != nil {
		return nil, err
	}
	return acl.Answer(nomadish.CallerFrom(r.Context()), p, r.Query.Namespace, r.Value("name")), nil
}

// whoCan says who has a permission.
func (a *API) whoCan(r *Request) (any, error) {
	p, err := r.permission()
	if err != nil {
		return nil, err
	}
	return a.back.Server.AccessSurvey.WhoCan(r.Context(), p, r.Query.Namespace, r.Value("name"))
}

// permission is the one that a request is about.
func (r *Request) permission() (nomadish.Permission, error) {
	text, err := r.required("permission")
	if err != nil {
		return "", err
	}
	return acl.ParsePermission(text)
}
