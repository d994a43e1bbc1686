package nomadish

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Limits of a job. What passes one is refused with an error that names field and limit.
const (
	MaxMetaKeys       = 1_000     // keys of a meta block
	MaxMetaBytes      = 64 << 10  // keys and values of a meta block
	MaxEnvKeys        = 1_000     // keys of an env block
	MaxEnvBytes       = 128 << 10 // keys and values of an env block
	MaxJobGroups      = 1_000     // groups of a job
	MaxGroupTasks     = 100       // tasks of a group, those the server adds not counted
	MaxJobAllocations = 50_000    // counts of a job's groups, together
	MaxPayload        = 16 << 10  // bytes of a dispatch payload
	MaxCronSpecs      = 100       // cron expressions of a periodic job
	MaxCronBytes      = 1 << 10   // bytes of a cron expression
)

// Fault is one thing that is wrong with a job, or several under one heading.
type Fault struct {
	Path    string  // of the field: TaskGroups[0].Tasks[1].Resources.CPU
	Message string  // what is wrong, or the heading
	Faults  []Fault // what is wrong in detail
}

// String is the fault's text with its details.
func (f Fault) String() string {
	var b strings.Builder
	f.text(&b)
	return b.String()
}

func (f Fault) text(b *strings.Builder) {
	b.WriteString(f.Message)
	if len(f.Faults) > 0 {
		writeFaults(b, f.Faults)
	}
}

// ValidationError says all that is wrong with a job. Its text is laid out as Nomad's,
// since clients search in it.
type ValidationError struct {
	Faults []Fault
}

func (e *ValidationError) Error() string {
	var b strings.Builder
	writeFaults(&b, e.Faults)
	return b.String()
}

// Unwrap makes the error one of KindInvalid.
func (e *ValidationError) Unwrap() error { return errInvalidJob }

var errInvalidJob = &Error{Kind: KindInvalid, Message: "invalid job"}

// Leaves yields the faults that have no details, in order.
func (e *ValidationError) Leaves() iter.Seq[Fault] {
	return func(yield func(Fault) bool) { leaves(e.Faults, yield) }
}

func leaves(faults []Fault, yield func(Fault) bool) bool {
	for _, f := range faults {
		if len(f.Faults) > 0 {
			if !leaves(f.Faults, yield) {
				return false
			}
			continue
		}
		if !yield(f) {
			return false
		}
	}
	return true
}

func writeFaults(b *strings.Builder, faults []Fault) {
	if len(faults) == 1 {
		b.WriteString("1 error occurred:")
	} else {
		fmt.Fprintf(b, "%d errors occurred:", len(faults))
	}
	for _, f := range faults {
		b.WriteString("\n\t* ")
		f.text(b)
	}
	b.WriteString("\n\n")
}

// faults collects what is wrong with one part of a job.
type faults struct {
	path string
	list []Fault
}

// at returns a collector for a field of the part.
func (f *faults) at(format string, args ...any) *faults {
	path := fmt.Sprintf(format, args...)
	switch {
	case f.path == "":
	case path == "":
		path = f.path
	case path[0] == '[':
		path = f.path + path
	default:
		path = f.path + "." + path
	}
	return &faults{path: path}
}

// add notes that a field is wrong.
func (f *faults) add(field, format string, args ...any) {
	f.list = append(f.list, Fault{Path: f.at("%s", field).path, Message: fmt.Sprintf(format, args...)})
}

// check notes that a field is wrong if bad holds.
func (f *faults) check(bad bool, field, format string, args ...any) {
	if bad {
		f.add(field, format, args...)
	}
}

// under takes over what inner has collected, under a heading.
func (f *faults) under(inner *faults, format string, args ...any) {
	if len(inner.list) > 0 {
		f.list = append(f.list, Fault{Path: inner.path, Message: fmt.Sprintf(format, args...), Faults: inner.list})
	}
}

// part checks a field, and takes over what is wrong there without a heading.
func (f *faults) part(field string, validate func(*faults)) {
	inner := f.at("%s", field)
	validate(inner)
	f.list = append(f.list, inner.list...)
}

// Admission is what a cluster knows when it decides whether to take a job. The zero value
// is a cluster without Vault that knows every namespace and pool.
type Admission struct {
	VaultClusters          []string               // those that tasks may use
	NamespaceExists        func(name string) bool // default: all do
	Namespace              *Namespace             // the job's, whose rules it has to keep; default: it has none
	NodePoolExists         func(name string) bool // default: all do
	MemoryOversubscription bool                   // tasks may use more than they reserve
	// Drivers are the config schemas of the known task drivers; default: nothing is checked.
	Drivers map[string]ConfigSchema
}

// Validate says what is wrong with an admitted job, as a *ValidationError.
//
// It refuses what Nomad refuses, in Nomad's words, and these beyond, which Nomad takes
// although the result can't work or does harm:
//
//	task name ".", ".." or "alloc"         its directory is that of the allocation
//	NUL in a driver, user or env           no process can be started with it
//	more than the limits above             memory and log entries have bounds
//
// Job ids never become paths, so slashes and dots are allowed there.
func (a Admission) Validate(j *Job) error {
	var f faults
	a.validateCluster(j, &f)
	j.validate(&f)
	if len(f.list) == 0 {
		return nil
	}
	return &ValidationError{Faults: f.list}
}

// Validate says what is wrong with an admitted job in any cluster without Vault.
func (j *Job) Validate() error { return Admission{}.Validate(j) }

// validateCluster finds what the cluster lacks for the job.
func (a Admission) validateCluster(j *Job, f *faults) {
	if ns := Val(j.Namespace); a.NamespaceExists != nil && !a.NamespaceExists(ns) {
		f.add("Namespace", "job %q is in nonexistent namespace %q", Val(j.ID), ns)
	}
	if pool := Val(j.NodePool); a.NodePoolExists != nil && pool != "" && !a.NodePoolExists(pool) {
		f.add("NodePool", "job %q is in nonexistent node pool %q", Val(j.ID), pool)
	}
	if a.Namespace != nil {
		a.Namespace.validateJob(j, f)
	}
	f.check(j.Multiregion != nil, "Multiregion", "Multiregion jobs are unlicensed.")
	refused := map[string]bool{}
	for gi, g := range j.TaskGroups {
		for ti, t := range g.Tasks {
			path := fmt.Sprintf("TaskGroups[%d].Tasks[%d]", gi, ti)
			if t.Vault != nil && !refused[t.Vault.Cluster] && !slices.Contains(a.VaultClusters, t.Vault.Cluster) {
				refused[t.Vault.Cluster] = true
				f.add(path+".Vault", "Vault %q not enabled but used in the job", t.Vault.Cluster)
			}
			f.check(t.Schedule != nil, path+".Schedule", "task schedules requires Nomad Enterprise")
		}
	}
}

// size returns how much a map of strings holds.
func size(m map[string]string) (bytes int) {
	for k, v := range m {
		bytes += len(k) + len(v)
	}
	return bytes
}

func validateMeta(f *faults, meta map[string]string) {
	f.check(len(meta) > MaxMetaKeys, "Meta", "Meta has %d keys, more than the limit of %d", len(meta), MaxMetaKeys)
	f.check(size(meta) > MaxMetaBytes, "Meta", "Meta takes %d bytes, more than the limit of %d", size(meta), MaxMetaBytes)
}

func validateEnv(f *faults, env map[string]string) {
	f.check(len(env) > MaxEnvKeys, "Env", "Env has %d keys, more than the limit of %d", len(env), MaxEnvKeys)
	f.check(size(env) > MaxEnvBytes, "Env", "Env takes %d bytes, more than the limit of %d", size(env), MaxEnvBytes)
	for _, k := range sortedKeys(env) {
		f.check(hasNUL(k) || hasNUL(env[k]), "Env", "Env %q contains a null character", k)
	}
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }
