package httpapi

import (
	"cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// searchPrefix finds things by the beginnings of their names.
func (a *API) searchPrefix(r *Request) (any, error) {
	req := &nomadish.SearchRequest{}
	if err := a.search(r, req, &req.WriteRequest); err != nil {
		return nil, err
	}
	found, err := a.back.Server.Search.SearchPrefix(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(found.Index)
	found.QueryMeta = r.meta()
	return found, nil
}

// searchFuzzy finds things by what their names hold.
func (a *API) searchFuzzy(r *Request) (any, error) {
	req := &nomadish.FuzzySearchRequest{}
	if err := a.search(r, req, &req.WriteRequest); err != nil {
		return nil, err
	}
	found, err := a.back.Server.Search.SearchFuzzy(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(found.Index)
	found.QueryMeta = r.meta()
	return found, nil
}

// search reads a search, and waits until this server knows all that was written before.
func (a *API) search(r *Request, req any, common *nomadish.WriteRequest) error {
	if err := r.Decode(req); err != nil {
		return err
	}
	if r.values.Has("namespace") {
		common.Namespace = r.Query.Namespace
	}
	common.Namespace = cmp.Or(common.Namespace, defaultNamespace)
	if r.Query.Stale {
		return nil
	}
	return a.back.Server.Reads.Sync(r.Context())
}
