package nomadish

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	identityName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	actionName   = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	secretName   = regexp.MustCompile(`^[a-zA-Z0-9_]{1,128}$`)
)

func (t *Task) validate(j *Job, g *TaskGroup, f *faults) {
	t.validateName(f)
	f.check(t.Driver == "", "Driver", "Missing task driver")
	f.check(hasNUL(t.Driver), "Driver", "Task driver contains a null character")
	f.check(hasNUL(t.User), "User", "Task user contains a null character")
	f.check(Val(t.KillTimeout) < 0, "KillTimeout", "KillTimeout must be a positive value")
	f.check(t.ShutdownDelay < 0, "ShutdownDelay", "ShutdownDelay must be a positive value")
	validateMeta(f, t.Meta)
	validateEnv(f, t.Env)
	t.validateResources(g, f)
	validateConstraints(f, t.Constraints)
	for i, c := range t.Constraints {
		switch c.Operand {
		case OperandDistinctHosts, OperandDistinctProperty:
			f.add(fmt.Sprintf("Constraints[%d]", i), "Constraint %d has disallowed Operand at task level: %s", i+1, c.Operand)
		}
	}
	j.validatePlacement(f, "", t.Affinities, nil)
	if t.RestartPolicy != nil && (g.RestartPolicy == nil || !equalRestart(t.RestartPolicy, g.RestartPolicy)) {
		f.part("RestartPolicy", t.RestartPolicy.validate)
	}
	inner := f.at("Services")
	t.validateServices(g, inner)
	f.under(inner, "")
	t.validateFiles(f)
	if t.Vault != nil {
		inner := f.at("Vault")
		t.Vault.validate(inner)
		f.under(inner, "Vault validation failed: ")
	}
	t.validateMounts(g, f)
	if t.Lifecycle != nil {
		inner := f.at("Lifecycle")
		t.Lifecycle.validate(inner)
		f.under(inner, "Task lifecycle validation failed: ")
	}
	t.validateIdentities(f)
	t.validateActions(f)
	if c := t.CSIPluginConfig; c != nil {
		f.check(c.ID == "", "CSIPluginConfig.ID", "CSIPluginConfig must have a non-empty PluginID")
		f.check(!slices.Contains([]string{"node", "controller", "monolith"}, c.Type), "CSIPluginConfig.Type",
			`CSIPluginConfig PluginType must be one of 'node', 'controller', or 'monolith', got: "%s"`, c.Type)
	}
}

func (l *TaskLifecycle) validate(f *faults) {
	switch l.Hook {
	case LifecyclePrestart, LifecyclePoststart, LifecyclePoststop:
	case "":
		f.add("Hook", "no lifecycle hook provided")
	default:
		f.add("Hook", "invalid lifecycle hook: %v", l.Hook)
	}
}

// validateName refuses names that can't be that of the task's directory, which lies beside
// the directory alloc.
func (t *Task) validateName(f *faults) {
	switch {
	case t.Name == "":
		f.add("Name", "Missing task name")
	case strings.ContainsAny(t.Name, `/\`):
		f.add("Name", "Task name cannot include slashes")
	case hasNUL(t.Name):
		f.add("Name", "Task name cannot include null characters")
	case t.Name == "." || t.Name == ".." || t.Name == "alloc":
		f.add("Name", "Task name cannot be %q, which is a directory of the allocation", t.Name)
	case len(t.Name) > 128:
		f.add("Name", "Task name is longer than the limit of 128 bytes")
	}
}

func equalRestart(a, b *RestartPolicy) bool {
	return Val(a.Interval) == Val(b.Interval) && Val(a.Attempts) == Val(b.Attempts) && Val(a.Delay) == Val(b.Delay) && Val(a.Mode) == Val(b.Mode)
}

func (t *Task) validateResources(g *TaskGroup, f *faults) {
	if t.Resources == nil {
		f.add("Resources", "Missing task resources")
	} else {
		inner := f.at("Resources")
		t.Resources.validate(inner)
		f.under(inner, "")
	}
	if t.LogConfig == nil {
		f.add("LogConfig", "Missing Log Config")
	} else {
		inner := f.at("LogConfig")
		t.LogConfig.validate(g.EphemeralDisk, inner)
		f.under(inner, "")
	}
}

func (r *Resources) validate(f *faults) {
	cpu, cores, memory := Val(r.CPU), Val(r.Cores), Val(r.MemoryMB)
	f.check(cpu > 0 && cores > 0, "Cores", "Task can only ask for 'cpu' or 'cores' resource, not both.")
	inner := f.at("")
	inner.check(cores == 0 && cpu < 1, "CPU", "minimum CPU value is 1; got %d", cpu)
	inner.check(cores < 0, "Cores", "minimum Cores value is 0; got %d", cores)
	inner.check(memory < 10, "MemoryMB", "minimum MemoryMB value is 10; got %d", memory)
	f.under(inner, "")
	f.check(Val(r.DiskMB) > 0, "DiskMB", "Task can't ask for disk resources, they have to be specified at the task group level.")
	limit := Val(r.MemoryMaxMB)
	f.check(limit != 0 && limit != -1 && limit < memory, "MemoryMaxMB", "MemoryMaxMB value (%d) should be larger than MemoryMB value (%d)", limit, memory)
	secrets := Val(r.SecretsMB)
	f.check(secrets < 0, "SecretsMB", "SecretsMB value (%d) cannot be negative", secrets)
	f.check(secrets > 0 && secrets > memory, "SecretsMB", "SecretsMB value (%d) cannot be larger than MemoryMB value (%d)", secrets, memory)
	for i, d := range r.Devices {
		inner := f.at("Devices[%d]", i)
		inner.check(d.Name == "", "Name", "device name must be given as one of the following: type, vendor/type, or vendor/type/name")
		validateConstraints(inner, d.Constraints)
		for i, a := range d.Affinities {
			part := inner.at("Affinities[%d]", i)
			a.validate(part)
			inner.under(part, "Affinity %d validation failed: ", i+1)
		}
		f.under(inner, "device %d validation failed: ", i+1)
	}
	if n := r.NUMA; n != nil {
		switch n.Affinity {
		case NUMAAffinityNone, NUMAAffinityPrefer, NUMAAffinityRequire:
		default:
			f.add("NUMA.Affinity", "numa affinity must be one of none, prefer, or require")
		}
	}
}

func (l *LogConfig) validate(disk *EphemeralDisk, f *faults) {
	files, size := Val(l.MaxFiles), Val(l.MaxFileSizeMB)
	f.check(files < 1, "MaxFiles", "minimum number of files is 1; got %d", files)
	f.check(size < 1, "MaxFileSizeMB", "minimum file size is 1MB; got %d", size)
	if disk == nil || files < 1 || size < 1 || Val(l.Disabled) {
		return
	}
	room := Val(disk.SizeMB)
	f.check(room <= files*size || files > room, "", "log storage (%d MB) must be less than requested disk capacity (%d MB)", files*size, room)
}

// escapesAlloc says that a path given relative to the task's directory leads out of the
// allocation's.
func escapesAlloc(name string) bool {
	full := path.Join("/alloc-dir/task", strings.ReplaceAll(name, `\`, "/"))
	return full != "/alloc-dir" && !strings.HasPrefix(full, "/alloc-dir/")
}

// validateFiles checks what is put into the task's directory.
func (t *Task) validateFiles(f *faults) {
	for i, a := range t.Artifacts {
		inner := f.at("Artifacts[%d]", i)
		a.validate(inner)
		f.under(inner, "Artifact %d validation failed: ", i+1)
	}
	dests := map[string]int{}
	for i, tmpl := range t.Templates {
		inner := f.at("Templates[%d]", i)
		tmpl.validate(inner)
		f.under(inner, "Template %d validation failed: ", i+1)
		dest := Val(tmpl.DestPath)
		if first, ok := dests[dest]; ok {
			f.add(fmt.Sprintf("Templates[%d].DestPath", i), "Template %d has same destination as %d", i+1, first)
		} else {
			dests[dest] = i + 1
		}
	}
	if d := t.DispatchPayload; d != nil {
		inner := f.at("DispatchPayload")
		inner.check(escapesAlloc(path.Join("local", d.File)), "File", "destination escapes allocation directory")
		f.under(inner, "Dispatch Payload validation failed: ")
	}
}

func (a *TaskArtifact) validate(f *faults) {
	f.check(Val(a.GetterSource) == "", "GetterSource", "source must be specified")
	switch m := Val(a.GetterMode); m {
	case "", "any", "file", "dir":
	default:
		f.add("GetterMode", "invalid artifact mode %q; must be one of: %s, %s, %s", m, "any", "file", "dir")
	}
	f.check(escapesAlloc(Val(a.RelativeDest)), "RelativeDest", "destination escapes allocation directory")
	sum, ok := a.GetterOptions["checksum"]
	if !ok || strings.Contains(sum, "${") {
		return
	}
	kind, value, found := strings.Cut(sum, ":")
	lengths := map[string]int{"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "file": 0}
	length, known := lengths[kind]
	switch {
	case sum == "":
		f.add("GetterOptions.checksum", "checksum value cannot be empty")
	case !found:
		f.add("GetterOptions.checksum", `checksum must be given as "type:value"; got %q`, sum)
	case !known:
		f.add("GetterOptions.checksum", "unsupported checksum type: %s", kind)
	case length > 0 && len(value) != length:
		f.add("GetterOptions.checksum", "invalid %s checksum: %s", kind, value)
	}
}

func (t *Template) validate(f *faults) {
	f.check(Val(t.SourcePath) == "" && Val(t.EmbeddedTmpl) == "", "EmbeddedTmpl", "Must specify a source path or have an embedded template")
	dest := Val(t.DestPath)
	f.check(dest == "", "DestPath", "Must specify a destination for the template")
	f.check(escapesAlloc(dest), "DestPath", "template destination escapes allocation directory")
	switch Val(t.ChangeMode) {
	case ChangeModeNoop, ChangeModeRestart:
	case ChangeModeSignal:
		f.check(Val(t.ChangeSignal) == "", "ChangeSignal", "Must specify signal value when change mode is signal")
		f.check(Val(t.Envvars), "Envvars", "cannot use signals with env var templates")
	case ChangeModeScript:
		f.check(t.ChangeScript == nil, "ChangeScript", "must specify change script configuration value when change mode is script")
		f.check(t.ChangeScript != nil && Val(t.ChangeScript.Command) == "", "ChangeScript.Command", "must specify script path value when change mode is script")
	default:
		f.add("ChangeMode", "Invalid change mode. Must be one of the following: noop, signal, script, restart")
	}
	f.check(Val(t.Splay) < 0, "Splay", "Must specify positive splay value")
	if perms := Val(t.Perms); perms != "" {
		if _, err := strconv.ParseUint(perms, 8, 12); err != nil {
			f.add("Perms", "Failed to parse %q as octal: %v", perms, err)
		}
	}
	if w := t.Wait; w != nil {
		f.check(Val(w.Min) < 0, "Wait.Min", "wait min must be positive")
		f.check(Val(w.Max) < 0, "Wait.Max", "wait max must be positive")
		f.check(w.Max != nil && Val(w.Min) > *w.Max, "Wait", "wait min %s is greater than max %s", Val(w.Min), Val(w.Max))
	}
}

func (v *Vault) validate(f *faults) {
	f.check(slices.Contains(v.Policies, "root"), "Policies", "Cannot use the policy \"root\"")
	switch m := Val(v.ChangeMode); m {
	case ChangeModeNoop, ChangeModeRestart:
	case ChangeModeSignal:
		f.check(Val(v.ChangeSignal) == "", "ChangeSignal", "Signal must be specified when using change mode %q", ChangeModeSignal)
	default:
		f.add("ChangeMode", "Unknown change mode %q", m)
	}
}

func (t *Task) validateMounts(g *TaskGroup, f *faults) {
	for i, m := range t.VolumeMounts {
		field := fmt.Sprintf("VolumeMounts[%d]", i)
		name := Val(m.Volume)
		if name == "" {
			f.add(field+".Volume", "Volume Mount (%d) references an empty volume", i)
		} else if _, ok := g.Volumes[name]; !ok {
			f.add(field+".Volume", "Volume Mount (%d) references undefined volume %s", i, name)
		}
		switch mode := Val(m.PropagationMode); mode {
		case "", "private", "host-to-task", "bidirectional":
		default:
			f.add(field+".PropagationMode", "Volume Mount (%d) has an invalid propagation mode: %q", i, mode)
		}
		f.check(hasNUL(Val(m.Destination)), field+".Destination", "Volume Mount (%d) destination contains a null character", i)
	}
}

func (t *Task) validateIdentities(f *faults) {
	seen := map[string]bool{}
	check := func(id *WorkloadIdentity, field string) {
		f.check(seen[id.Name], field, "Multiple identities share the name %q", id.Name)
		seen[id.Name] = true
		inner := f.at("%s", field)
		id.validate(inner)
		f.under(inner, "Identity %q is invalid: ", id.Name)
	}
	if t.Identity != nil {
		check(t.Identity, "Identity")
	}
	for i, id := range t.Identities {
		check(id, fmt.Sprintf("Identities[%d]", i))
	}
}

func (w *WorkloadIdentity) validate(f *faults) {
	f.check(!identityName.MatchString(w.Name), "Name", "invalid name %q. Must match regex %s", w.Name, identityName)
	for i, aud := range w.Audience {
		f.check(aud == "", fmt.Sprintf("Audience[%d]", i), "an empty string is an invalid audience (%d)", i+1)
	}
	switch w.ChangeMode {
	case "", ChangeModeNoop, ChangeModeRestart:
		f.check(w.ChangeSignal != "", "ChangeSignal", "can only use change_signal=%q with change_mode=%q", w.ChangeSignal, ChangeModeSignal)
	case ChangeModeSignal:
		f.check(w.ChangeSignal == "", "ChangeSignal", "change_signal must be specified if change_mode=%q", ChangeModeSignal)
	default:
		f.add("ChangeMode", "invalid change_mode: %s", w.ChangeMode)
	}
	f.check(w.TTL < 0, "TTL", "ttl must be >= 0")
	f.check(w.TTL > 0 && w.TTL < 5*time.Second && w.Name != DefaultIdentity, "TTL", "ttl must be at least 5s")
	f.check(w.Filepath != "" && escapesAlloc(w.Filepath), "Filepath", "filepath escapes allocation directory")
}

func (t *Task) validateActions(f *faults) {
	seen := map[string]int{}
	for i, a := range t.Actions {
		inner := f.at("Actions[%d]", i)
		inner.check(a.Command == "", "Command", "command cannot be empty")
		inner.check(!actionName.MatchString(a.Name), "Name", "invalid name '%s'", a.Name)
		f.under(inner, "Action %d validation failed: ", i+1)
		if first, ok := seen[a.Name]; ok {
			f.add(inner.path, "Action %d redefines '%s' from action %d", i+1, a.Name, first)
		} else {
			seen[a.Name] = i + 1
		}
	}
	names := map[string]bool{}
	for i, s := range t.Secrets {
		inner := f.at("Secrets[%d]", i)
		inner.check(s.Name == "", "Name", "secret name cannot be empty")
		inner.check(s.Name != "" && !secretName.MatchString(s.Name), "Name", "secret name %q must match regex %s", s.Name, secretName)
		inner.check(s.Provider == "", "Provider", "secret provider cannot be empty")
		inner.check(s.Path == "", "Path", "secret path cannot be empty")
		inner.check(names[s.Name], "Name", "secret name %q is used twice", s.Name)
		names[s.Name] = true
		f.under(inner, "Secret %d validation failed: ", i+1)
	}
}

// injected says that the server added the task for Consul's service mesh.
func (t *Task) injected() bool {
	kind, _, _ := strings.Cut(t.Kind, ":")
	switch kind {
	case KindConnectProxy, KindConnectIngress, KindConnectTerminating, KindConnectMesh:
		return true
	}
	return false
}
