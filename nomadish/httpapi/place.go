package httpapi

import (
	"cmp"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// place returns the way to the agent that has to run the request, nil when it is this one.
func (a *API) place(r *Request) (http.RoundTripper, error) {
	ctx := asAgent(r.Context())
	if r.fromAfar() {
		return nil, a.completed(r, nil, nomadish.ErrDenied)
	}
	switch where := r.route.Where; where {
	case OnAgent:
		if !r.route.is(Peers) {
			return nil, nil
		}
		if region := r.Query.Region; region != "" && region != a.cfg.Region && r.namesAgent() {
			return a.back.Router.Region(ctx, region)
		}
		return a.toAgent(r)
	case OnNode:
		if r.route.is(NodeInBody) {
			if err := r.peekNode(); err != nil {
				return nil, err
			}
		}
		if here, err := a.onThisNode(r); here || err != nil {
			return nil, err
		}
	}
	if a.back.Server == nil {
		return a.back.Router.Server(ctx)
	}
	region, err := a.home(r)
	switch {
	case err != nil:
		return nil, err
	case region != a.cfg.Region:
		return a.back.Router.Region(ctx, region)
	case r.route.Where == OnLeader:
		return a.back.Router.Leader(ctx)
	case r.route.Where == OnNode:
		return a.toNode(r)
	}
	return nil, nil
}

// fromAfar says that a request comes from another region and is of the kind that agents of one region
// make among themselves.
func (r *Request) fromAfar() bool {
	among := r.route.Permission == nomadish.PermNode || r.route.Permission == nomadish.PermServer
	return among && transport.OriginFrom(r.Context()).Region != ""
}

// home is the region in which a request runs. This agent is a server.
func (a *API) home(r *Request) (string, error) {
	region := cmp.Or(r.Query.Region, a.cfg.Region)
	if a.cfg.Authoritative == "" || !r.route.is(Shared|IfGlobal) {
		return region, nil
	}
	if r.route.is(IfGlobal) {
		if region != a.cfg.Region {
			return region, nil // there it is known
		}
		if global, err := a.global(r); err != nil || !global {
			return region, err
		}
	}
	if a.cfg.Authoritative != region {
		r.setRegion(a.cfg.Authoritative)
	}
	return a.cfg.Authoritative, nil
}

// global says whether a request is about a token of all regions: one that it describes, that is
// there, or that its maker gets by logging in.
func (a *API) global(r *Request) (bool, error) {
	var asked struct {
		Global                     bool
		AccessorID, AuthMethodName string
	}
	if r.HTTP.Method != http.MethodDelete {
		if err := r.peek(&asked); err != nil && nomadish.KindOf(err) != nomadish.KindInvalid { // the handler says what is wrong
			return false, err
		}
	}
	known := a.back.Server.Shared
	return asked.Global || known.GlobalToken(cmp.Or(r.Param("id"), asked.AccessorID)) || known.GlobalLogin(asked.AuthMethodName), nil
}

// setRegion names the region in which the request runs, for the agents that it is passed on to.
func (r *Request) setRegion(region string) {
	r.values.Set("region", region)
	r.Query.Region = region
	u := *r.HTTP.URL
	u.RawQuery = r.values.Encode()
	r.HTTP.URL = &u
}

// namesAgent says that a request is for an agent that it names.
func (r *Request) namesAgent() bool { return r.Value("node_id") != "" || r.Value("server_id") != "" }

// elsewhere is the answer to a request whose body says that it runs in another region.
type elsewhere struct{ way http.RoundTripper }

// jobElsewhere returns where a job belongs that is one of another region, nil when that is here.
// A region in the query counts more than that of the job, and has brought the request here. The
// region "global" is that of jobs that name none, and is another one only where it exists.
func (a *API) jobElsewhere(r *Request, job *nomadish.Job) (*elsewhere, error) {
	region := nomadish.Val(job.Region)
	if r.Query.Region != "" {
		job.Region = nomadish.Ptr(a.cfg.Region)
		return nil, nil
	}
	if region == "" || region == a.cfg.Region {
		return nil, nil
	}
	way, err := a.back.Router.Region(asAgent(r.Context()), region)
	if err != nil && region == nomadish.DefaultRegion && nomadish.KindOf(err) == nomadish.KindInternal {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.setRegion(region)
	r.rewind()
	return &elsewhere{way}, nil
}
