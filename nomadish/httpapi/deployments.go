package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// deploymentOrder is that of the making of deployments.
var deploymentOrder = order[*nomadish.Deployment]{
	at:      func(d *nomadish.Deployment) position { return position{d.CreateIndex, d.ID} },
	byIndex: true,
}

func (a *API) deployments(r *Request) (any, error) {
	return list(r, deploymentOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.Deployment], uint64, error) {
		return a.back.Server.Deployments.Deployments(ctx, ws, r.Query.Namespace, r.Query.Prefix)
	})
}

func (a *API) jobDeployments(r *Request) (any, error) {
	all, err := r.Bool("all")
	if err != nil {
		return nil, err
	}
	return list(r, deploymentOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.Deployment], uint64, error) {
		return a.back.Server.Deployments.DeploymentsByJob(ctx, ws, r.Query.Namespace, r.Param("id"), all)
	})
}

// jobDeployment answers with the newest deployment, or null.
func (a *API) jobDeployment(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Deployment, uint64, error) {
		rows, index, err := a.back.Server.Deployments.DeploymentsByJob(ctx, ws, r.Query.Namespace, r.Param("id"), false)
		if err != nil {
			return nil, index, err
		}
		var newest *nomadish.Deployment
		for d := range rows {
			if newest == nil || d.CreateIndex > newest.CreateIndex {
				newest = d
			}
		}
		return newest, index, nil
	})
}
