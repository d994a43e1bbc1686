package httpapi

import (
	"context"
	"strconv"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// JobVersions reads and changes the versions of jobs. The index of writes is the write's.
type JobVersions interface {
	JobVersions(ctx context.Context, ws memdb.WatchSet, namespace, id string) ([]*nomadish.Job, uint64, error) // newest first
	RevertJob(ctx context.Context, req *nomadish.JobRevertRequest) (*nomadish.JobRegisterResponse, uint64, error)
	StabilizeJob(ctx context.Context, req *nomadish.JobStabilityRequest) (*nomadish.JobStabilityResponse, uint64, error)
	TagJobVersion(ctx context.Context, jobID, tag string, req *nomadish.JobTagRequest) (*nomadish.JobTagResponse, uint64, error)
	UntagJobVersion(ctx context.Context, namespace, jobID, tag string) (uint64, error)
}

func (a *API) jobVersions(r *Request) (any, error) {
	diffs, err := r.Bool("diffs")
	if err != nil {
		return nil, err
	}
	versions, err := Blocking(r, func(ctx context.Context, ws memdb.WatchSet) ([]*nomadish.Job, uint64, error) {
		return a.back.Server.JobVersions.JobVersions(ctx, ws, r.Query.Namespace, r.Param("id"))
	})
	if err != nil {
		return nil, err
	}
	resp := &nomadish.JobVersionsResponse{
		Versions:  versions,
		QueryMeta: nomadish.QueryMeta{Index: r.index, KnownLeader: r.knownLeader},
	}
	if !diffs {
		return resp, nil
	}
	base, err := baseVersion(r, versions)
	if err != nil {
		return nil, err
	}
	for i, v := range versions {
		switch {
		case base != nil:
			resp.Diffs = append(resp.Diffs, nomadish.DiffJobs(base, v))
		case i+1 < len(versions):
			resp.Diffs = append(resp.Diffs, nomadish.DiffJobs(versions[i+1], v))
		}
	}
	return resp, nil
}

// baseVersion is the version that all others are to be compared with; nil: each is compared
// with the one before it.
func baseVersion(r *Request, versions []*nomadish.Job) (*nomadish.Job, error) {
	tag, number := r.Value("diff_tag"), r.Value("diff_version")
	if tag == "" && number == "" {
		return nil, nil
	}
	if tag != "" && number != "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "diff_tag and diff_version exclude each other")
	}
	for _, v := range versions {
		if tag != "" && v.VersionTag != nil && v.VersionTag.Name == tag {
			return v, nil
		}
		if number != "" && strconv.FormatUint(nomadish.Val(v.Version), 10) == number {
			return v, nil
		}
	}
	if _, err := strconv.ParseUint(number, 10, 64); number != "" && err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of diff_version: must be a job version", number)
	}
	if tag != "" {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "tag %q not found for job %q", tag, r.Param("id"))
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "job %q has no version %s", r.Param("id"), number)
}

func (a *API) revertJob(r *Request) (any, error) {
	req := &nomadish.JobRevertRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if err := sameJob(r, &req.JobID); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.JobVersions.RevertJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

// sameJob checks that a body names the job of the path, where it names one, and fills it in.
func sameJob(r *Request, id *string) error {
	if *id != "" && *id != r.Param("id") {
		return nomadish.Errorf(nomadish.KindInvalid, "Job ID does not match")
	}
	*id = r.Param("id")
	return nil
}

func (a *API) stabilizeJob(r *Request) (any, error) {
	req := &nomadish.JobStabilityRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	if err := sameJob(r, &req.JobID); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.JobVersions.StabilizeJob(r.Context(), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

func (a *API) tagJobVersion(r *Request) (any, error) {
	req := &nomadish.JobTagRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	resp, index, err := a.back.Server.JobVersions.TagJobVersion(r.Context(), r.Param("id"), r.Param("tag"), req)
	if err != nil {
		return nil, err
	}
	resp.Index = index
	r.SetIndex(index)
	return resp, nil
}

func (a *API) untagJobVersion(r *Request) (any, error) {
	index, err := a.back.Server.JobVersions.UntagJobVersion(r.Context(), r.Query.Namespace, r.Param("id"), r.Param("tag"))
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return nil, nil
}
