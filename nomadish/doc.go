// Package nomadish holds the nouns of the orchestrator: jobs and their parts, nodes,
// allocations, evaluations, plans. Each noun has one type from the job file to the disk,
// and beside it its defaults, its validation and its status values.
//
// A field that may be absent is a pointer, a slice or a map, and nil means absent: that is
// kept apart from zero. Admitted jobs (see Job.Admit) have every default filled in.
//
// A job goes through four steps, each with the noun: DecodeJSON or package jobspec reads it,
// Job.Normalize fills in what the user leaves out, Job.Admit adds what a server adds, and
// Admission.Validate and Admission.Warnings judge it. EncodeJSON shows it.
package nomadish
