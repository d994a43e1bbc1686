package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var deployments = deploymentTable()

func deploymentTable() *table[nomadish.Deployment] {
	t := newTable[nomadish.Deployment](8, TableDeployments, func(d *nomadish.Deployment) ([]byte, error) { return idKey(d.ID) })
	t.indexes = map[string]func(*nomadish.Deployment) ([]byte, error){
		indexJob: func(d *nomadish.Deployment) ([]byte, error) { return jobHash(d.Namespace, d.JobID), nil },
	}
	return t
}

// Deployment returns a deployment.
func (r Reader) Deployment(ws memdb.WatchSet, id string) (*nomadish.Deployment, error) {
	return byID(r, ws, deployments, "deployment", id)
}

// Deployments lists the deployments of a namespace, or with AnyNamespace of all, by ID.
func (r Reader) Deployments(ws memdb.WatchSet, namespace string) iter.Seq[*nomadish.Deployment] {
	return inNamespace(list(r, ws, deployments, indexID+withPrefix, nil), namespace,
		func(d *nomadish.Deployment) string { return d.Namespace })
}

// DeploymentsByPrefix lists the deployments of a namespace, or with AnyNamespace of all,
// whose ID starts with prefix. An odd number of hex digits is ErrOddPrefix.
func (r Reader) DeploymentsByPrefix(ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Deployment], error) {
	seq, err := listByID(r, ws, deployments, prefix)
	if err != nil {
		return nil, err
	}
	return inNamespace(seq, namespace, func(d *nomadish.Deployment) string { return d.Namespace }), nil
}

// DeploymentsByJob lists the deployments of a job by ID.
func (r Reader) DeploymentsByJob(ws memdb.WatchSet, namespace, id string) iter.Seq[*nomadish.Deployment] {
	return list(r, ws, deployments, indexJob, jobHash(namespace, id))
}

// PutDeployment stores a deployment.
func (w *Writer) PutDeployment(deployment *nomadish.Deployment) error {
	d := *deployment
	var created uint64
	d.CreateTime = w.time
	if old, err := w.Deployment(nil, d.ID); err == nil {
		created, d.CreateTime = old.CreateIndex, old.CreateTime
	}
	d.ModifyTime = w.time
	w.stamp(&d.CreateIndex, &d.ModifyIndex, created)
	return put(w.txn, deployments, &d)
}

// DeleteDeployment removes a deployment. Deleting what is not there is no error.
func (w *Writer) DeleteDeployment(id string) error {
	key, err := idKey(id)
	if err != nil {
		return err
	}
	return remove(w.txn, deployments, key)
}
