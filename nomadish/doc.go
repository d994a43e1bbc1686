// Package nomadish holds the nouns of the orchestrator: jobs and their parts, nodes,
// allocations, evaluations, plans. Each noun has one type from the job file to the disk,
// and beside it its defaults, its validation and its status values.
//
// A field that may be absent is a pointer, a slice or a map, and nil means absent: that is
// kept apart from zero. Admitted jobs (see Job.Admit) have every default filled in.
package nomadish
