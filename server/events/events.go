package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// event is one event, encoded, with what readers ask for it by.
type event struct {
	topic     string
	namespace string // empty: of no namespace
	keys      []string
	text      []byte
}

// shape is what an event says of a change, before it is encoded.
type shape struct {
	topic, kind, key, namespace string
	filter                      []string
	payload                     any
	deleted                     bool
}

// telling says that a change makes an event. Evaluations, allocations and deployments that are
// forgotten long after they ended make none.
func telling(c state.Change) bool {
	switch c.Table {
	case state.TableAllocations, state.TableEvaluations, state.TableDeployments:
		return c.After != nil
	case state.TableJobs, state.TableNodes, state.TableNodePools,
		state.TableACLPolicies, state.TableACLRoles, state.TableACLTokens, state.TableACLAuthMethods, state.TableACLBindingRules:
		return true
	}
	return false
}

// encode makes the events of a command's changes, in the order of the changes.
func encode(index uint64, changes []state.Change) ([]event, error) {
	cause := causeOf(index, changes)
	events := make([]event, 0, len(changes))
	for _, c := range changes {
		s := shapeOf(c, index, cause)
		text, err := s.encode(index)
		if err != nil {
			return nil, fmt.Errorf("event %s of %s: %w", s.kind, s.key, err)
		}
		events = append(events, event{topic: s.topic, namespace: s.namespace, keys: append([]string{s.key}, s.filter...), text: text})
	}
	return events, nil
}

func (s shape) encode(index uint64) ([]byte, error) {
	payload, err := nomadish.EncodeJSON(s.payload)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(struct {
		Topic, Type, Key, Namespace string
		FilterKeys                  []string
		Index                       uint64
	}{s.topic, s.kind, s.key, s.namespace, s.filter, index})
	if err != nil {
		return nil, err
	}
	text := make([]byte, 0, len(head)+len(payload)+len(s.topic)+40)
	text = append(text, head[:len(head)-1]...)
	text = append(append(append(text, `,"Payload":{"`...), s.topic...), `":`...)
	text = append(text, payload...)
	if s.deleted {
		text = append(text, `,"Deleted":true`...)
	}
	return append(text, `}}`...), nil
}

// causeOf names what sort of command made changes: things that only follow from it, such as
// the state of a job, carry its name.
func causeOf(index uint64, changes []state.Change) string {
	cause := nomadish.EventEvaluationUpdated
	for _, c := range changes {
		after, ok := c.After.(*nomadish.Allocation)
		if !ok || after == nil {
			continue
		}
		if after.AllocModifyIndex == index {
			return nomadish.EventPlanResult
		}
		cause = nomadish.EventAllocationUpdated
	}
	return cause
}

// shapeOf says what a change is that tells something.
func shapeOf(c state.Change, index uint64, cause string) shape {
	switch c.Table {
	case state.TableJobs:
		before, after := pair[nomadish.Job](c)
		return jobShape(before, after, cause)
	case state.TableAllocations:
		before, after := pair[nomadish.Allocation](c)
		return allocationShape(before, after, index)
	case state.TableEvaluations:
		_, after := pair[nomadish.Evaluation](c)
		return evaluationShape(after)
	case state.TableDeployments:
		before, after := pair[nomadish.Deployment](c)
		return deploymentShape(before, after)
	case state.TableNodes:
		before, after := pair[nomadish.Node](c)
		return nodeShape(before, after)
	case state.TableNodePools:
		before, after := pair[nomadish.NodePool](c)
		return nodePoolShape(before, after)
	}
	return aclShape(c)
}

// pair returns both sides of a change; the one that is not there is nil.
func pair[T any](c state.Change) (before, after *T) {
	before, _ = c.Before.(*T)
	after, _ = c.After.(*T)
	return before, after
}

func jobShape(before, after *nomadish.Job, cause string) shape {
	job, kind := after, cause
	switch {
	case after == nil:
		job, kind = before, nomadish.EventJobDeregistered
	case before != nil && nomadish.Val(before.JobModifyIndex) == nomadish.Val(after.JobModifyIndex):
	case nomadish.Val(after.Stop):
		kind = nomadish.EventJobDeregistered
	default:
		kind = nomadish.EventJobRegistered
	}
	s := shape{
		topic: nomadish.TopicJob, kind: kind, key: nomadish.Val(job.ID), namespace: nomadish.Val(job.Namespace),
		payload: job, deleted: after == nil,
	}
	if parent := nomadish.Val(job.ParentID); parent != "" {
		s.filter = []string{parent}
	}
	return s
}

func allocationShape(before, after *nomadish.Allocation, index uint64) shape {
	if after == nil {
		return shape{}
	}
	kind := nomadish.EventAllocationUpdated
	if after.AllocModifyIndex == index {
		kind = nomadish.EventPlanResult
		if before != nil && before.DesiredStatus == after.DesiredStatus && !reflect.DeepEqual(before.DesiredTransition, after.DesiredTransition) {
			kind = nomadish.EventAllocationUpdateDesiredStatus
		}
	}
	bare := *after
	bare.Job = nil
	return shape{
		topic: nomadish.TopicAllocation, kind: kind, key: after.ID, namespace: after.Namespace,
		filter: filled(after.JobID, after.DeploymentID), payload: &bare,
	}
}

func evaluationShape(after *nomadish.Evaluation) shape {
	if after == nil {
		return shape{}
	}
	return shape{
		topic: nomadish.TopicEvaluation, kind: nomadish.EventEvaluationUpdated, key: after.ID, namespace: after.Namespace,
		filter: filled(after.JobID, after.DeploymentID), payload: after,
	}
}

func deploymentShape(before, after *nomadish.Deployment) shape {
	if after == nil {
		return shape{}
	}
	kind := nomadish.EventDeploymentAllocHealth
	switch {
	case before == nil:
		kind = nomadish.EventPlanResult
	case promoted(after) > promoted(before):
		kind = nomadish.EventDeploymentPromotion
	case before.Status != after.Status || before.StatusDescription != after.StatusDescription:
		kind = nomadish.EventDeploymentStatusUpdate
	}
	return shape{
		topic: nomadish.TopicDeployment, kind: kind, key: after.ID, namespace: after.Namespace,
		filter: filled(after.JobID), payload: after,
	}
}

// promoted counts the groups whose canaries were promoted.
func promoted(d *nomadish.Deployment) int {
	n := 0
	for _, g := range d.TaskGroups {
		if g != nil && g.Promoted {
			n++
		}
	}
	return n
}

func nodeShape(before, after *nomadish.Node) shape {
	node, kind := after, nomadish.EventNodeRegistration
	switch {
	case after == nil:
		node, kind = before, nomadish.EventNodeDeregistration
	case before == nil:
	case before.Drain != after.Drain || !reflect.DeepEqual(before.DrainStrategy, after.DrainStrategy):
		kind = nomadish.EventNodeDrain
	case before.SchedulingEligibility != after.SchedulingEligibility:
		kind = nomadish.EventNodeEligibility
	case before.Status != after.Status || !slices.Equal(before.Events, after.Events):
		kind = nomadish.EventNodeEvent
	}
	return shape{topic: nomadish.TopicNode, kind: kind, key: node.ID, filter: filled(node.NodePool), payload: node}
}

func nodePoolShape(before, after *nomadish.NodePool) shape {
	if after == nil {
		return shape{topic: nomadish.TopicNodePool, kind: nomadish.EventNodePoolDeleted, key: before.Name, payload: before}
	}
	return shape{topic: nomadish.TopicNodePool, kind: nomadish.EventNodePoolUpserted, key: after.Name, payload: after}
}

// filled are the keys that are not empty.
func filled(keys ...string) []string {
	return slices.DeleteFunc(keys, func(k string) bool { return k == "" })
}
