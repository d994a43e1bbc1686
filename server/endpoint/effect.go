package endpoint

// withoutEffect are the fields of jobs that are understood and not acted on yet, with what
// that means. A job that sets one is taken with a warning that names it. A task that could not
// run as it is written fails on its node with an event that says the same.
var withoutEffect = map[string]string{
	"Multiregion":                        "the job runs in this region alone",
	"ParameterizedJob":                   "the job can't be dispatched yet",
	"Periodic":                           "the job is not launched by the clock yet",
	"TaskGroups.EphemeralDisk.Migrate":   "data does not follow an allocation to another node yet",
	"TaskGroups.EphemeralDisk.Sticky":    "an update does not take over its predecessor's data yet",
	"TaskGroups.MaxRunDuration":          "nothing ends the group when it has run for so long",
	"TaskGroups.Scaling":                 "nothing scales the group yet",
	"TaskGroups.Services":                "services are not registered or checked yet",
	"TaskGroups.Tasks.Actions":           "actions can't be run yet",
	"TaskGroups.Tasks.CSIPluginConfig":   "volume plugins are not supported yet: the task will fail",
	"TaskGroups.Tasks.Resources.Devices": "devices are not supported yet: the group will not be placed",
	"TaskGroups.Tasks.ScalingPolicies":   "nothing scales the task yet",
	"TaskGroups.Tasks.Schedule":          "the task runs all the time",
	"TaskGroups.Tasks.Secrets":           "secrets are not fetched yet: the task will fail",
	"TaskGroups.Tasks.Services":          "services are not registered or checked yet",
	"TaskGroups.Tasks.Templates":         "templates are not rendered yet: the task will fail",
	"TaskGroups.Tasks.VolumeMounts":      "volumes are not mounted yet: the task will fail",
}

// WithoutEffect says what it means that a field, by its path of Go names, is not acted on yet.
// Empty: it has its effect.
func WithoutEffect(path string) string { return withoutEffect[path] }
