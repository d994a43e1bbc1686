package nomadish

import (
	"path"
	"strings"
	"time"
)

// How the delay between reschedules grows (ReschedulePolicy.DelayFunction).
const (
	DelayConstant    = "constant"
	DelayExponential = "exponential"
	DelayFibonacci   = "fibonacci"
)

// What happens once a task's restarts are used up (RestartPolicy.Mode).
const (
	RestartModeDelay = "delay" // wait for the next interval
	RestartModeFail  = "fail"  // the task has failed
)

func (g *TaskGroup) normalize(j *Job) {
	fill(&g.Name, "")
	if g.Count == nil {
		g.Count = Ptr(1)
		if g.Scaling != nil && g.Scaling.Min != nil {
			*g.Count = int(*g.Scaling.Min)
		}
	}
	g.Scaling.normalize(*g.Count)
	fill(&g.EphemeralDisk, EphemeralDisk{})
	fill(&g.EphemeralDisk.Sticky, false)
	fill(&g.EphemeralDisk.Migrate, false)
	fill(&g.EphemeralDisk.SizeMB, 300)
	g.normalizePolicies(j)
	g.Consul.normalize()
	g.Disconnect.normalize()
	dropNil(&g.Constraints)
	normalizeAffinities(&g.Affinities)
	normalizeSpreads(&g.Spreads)
	dropNil(&g.Networks)
	for name, v := range g.Volumes {
		if v == nil {
			delete(g.Volumes, name)
			continue
		}
		orDefault(&v.Name, name)
	}
	dropNil(&g.Tasks)
	for _, t := range g.Tasks {
		t.normalize(g, j)
	}
	dropNil(&g.Services)
	for _, s := range g.Services {
		s.normalize(*j.Name + "-" + *g.Name)
	}
}

// normalizePolicies fills in the blocks that job and type decide.
func (g *TaskGroup) normalizePolicies(j *Job) {
	jobType := *j.Type
	if j.Update != nil && !j.Update.empty() {
		fill(&g.Update, UpdateStrategy{})
		g.Update.inherit(j.Update)
	}
	g.Update.normalize()

	rescheduled := jobType == JobTypeService || jobType == JobTypeBatch
	if rescheduled || j.Reschedule != nil || g.ReschedulePolicy != nil {
		fill(&g.ReschedulePolicy, ReschedulePolicy{})
		g.ReschedulePolicy.inherit(j.Reschedule)
		g.ReschedulePolicy.inherit(defaultReschedule(jobType))
	}
	if jobType == JobTypeService || j.Migrate != nil || g.Migrate != nil {
		fill(&g.Migrate, MigrateStrategy{})
		g.Migrate.inherit(j.Migrate)
		g.Migrate.inherit(defaultMigrate())
	}
	fill(&g.RestartPolicy, RestartPolicy{})
	g.RestartPolicy.inherit(defaultRestart(jobType))
}

func (s *ScalingPolicy) normalize(count int) {
	if s == nil {
		return
	}
	fill(&s.Enabled, true)
	fill(&s.Min, int64(count))
	normalizeFree(s.Policy)
}

func (c *Consul) normalize() {
	if c != nil {
		orDefault(&c.Cluster, DefaultCluster)
	}
}

func (d *DisconnectStrategy) normalize() {
	if d == nil {
		return
	}
	fill(&d.Replace, true)
	fill(&d.Reconcile, ReconcileBestScore)
}

func (t *Task) normalize(g *TaskGroup, j *Job) {
	fill(&t.KillTimeout, 5*time.Second)
	fill(&t.Resources, Resources{})
	t.Resources.normalize()
	fill(&t.RestartPolicy, RestartPolicy{})
	t.RestartPolicy.inherit(g.RestartPolicy)
	fill(&t.LogConfig, LogConfig{})
	t.LogConfig.normalize()
	if t.Lifecycle != nil && *t.Lifecycle == (TaskLifecycle{}) {
		t.Lifecycle = nil
	}
	t.Vault.normalize()
	t.Consul.normalize()
	t.CSIPluginConfig.normalize()
	dropNil(&t.Constraints)
	normalizeAffinities(&t.Affinities)
	dropNil(&t.Artifacts)
	for _, a := range t.Artifacts {
		a.normalize()
	}
	dropNil(&t.Templates)
	for _, tmpl := range t.Templates {
		tmpl.normalize()
	}
	dropNil(&t.VolumeMounts)
	for _, m := range t.VolumeMounts {
		m.normalize()
	}
	dropNil(&t.Services)
	for _, s := range t.Services {
		s.normalize(*j.Name + "-" + *g.Name + "-" + t.Name)
	}
	dropNil(&t.ScalingPolicies)
	for _, s := range t.ScalingPolicies {
		normalizeFree(s.Policy)
	}
	dropNil(&t.Secrets)
	for _, s := range t.Secrets {
		normalizeFree(s.Config)
	}
	dropNil(&t.Identities)
	dropNil(&t.Actions)
	normalizeFree(t.Config)
}

func (r *Resources) normalize() {
	cpu := 100
	if Val(r.Cores) != 0 {
		cpu = 0 // whole cores take the place of a share
	}
	fill(&r.CPU, cpu)
	fill(&r.Cores, 0)
	fill(&r.MemoryMB, 300)
	dropNil(&r.Networks)
	dropNil(&r.Devices)
	for _, d := range r.Devices {
		fill(&d.Count, 1)
		dropNil(&d.Constraints)
		normalizeAffinities(&d.Affinities)
	}
	if r.NUMA != nil {
		orDefault(&r.NUMA.Affinity, NUMAAffinityNone)
		if r.NUMA.Devices == nil {
			r.NUMA.Devices = []string{}
		}
	}
}

func (l *LogConfig) normalize() {
	fill(&l.MaxFiles, 10)
	fill(&l.MaxFileSizeMB, 10)
	if l.Disabled == nil {
		l.Disabled = Ptr(l.Enabled != nil && !*l.Enabled)
	}
}

func (v *Vault) normalize() {
	if v == nil {
		return
	}
	orDefault(&v.Cluster, DefaultCluster)
	fill(&v.Namespace, "")
	fill(&v.Env, true)
	fill(&v.DisableFile, false)
	fill(&v.ChangeMode, ChangeModeRestart)
	fill(&v.ChangeSignal, "SIGHUP")
	fill(&v.AllowTokenExpiration, false)
}

func (c *TaskCSIPluginConfig) normalize() {
	if c == nil {
		return
	}
	orDefault(&c.MountDir, "/csi")
	orDefault(&c.StagePublishBaseDir, "/local/csi")
	if c.HealthTimeout == 0 {
		c.HealthTimeout = 30 * time.Second
	}
}

func (a *TaskArtifact) normalize() {
	fill(&a.GetterSource, "")
	fill(&a.GetterMode, "any")
	fill(&a.GetterInsecure, false)
	if a.RelativeDest == nil {
		dest := "local/"
		if *a.GetterMode == "file" {
			dest = path.Join("local", path.Base(*a.GetterSource))
		}
		a.RelativeDest = &dest
	}
	emptyMap(&a.GetterOptions)
	emptyMap(&a.GetterHeaders)
}

func (t *Template) normalize() {
	fill(&t.SourcePath, "")
	fill(&t.DestPath, "")
	fill(&t.EmbeddedTmpl, "")
	fill(&t.ChangeMode, ChangeModeRestart)
	if *t.ChangeMode == ChangeModeSignal {
		fill(&t.ChangeSignal, "SIGHUP")
		*t.ChangeSignal = strings.ToUpper(*t.ChangeSignal)
	}
	fill(&t.ChangeSignal, "")
	if s := t.ChangeScript; s != nil {
		fill(&s.Command, "")
		fill(&s.Timeout, 5*time.Second)
		fill(&s.FailOnError, false)
		fill(&s.RunOnFirstRender, false)
		if s.Args == nil {
			s.Args = []string{}
		}
	}
	fill(&t.Once, false)
	fill(&t.Splay, 5*time.Second)
	fill(&t.Perms, "0644")
	fill(&t.LeftDelim, "{{")
	fill(&t.RightDelim, "}}")
	fill(&t.Envvars, false)
	fill(&t.ErrMissingKey, false)
	fill(&t.VaultGrace, time.Duration(0))
}

func (m *VolumeMount) normalize() {
	fill(&m.ReadOnly, false)
	fill(&m.PropagationMode, "private")
	fill(&m.SELinuxLabel, "")
}
