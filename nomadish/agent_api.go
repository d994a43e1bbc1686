package nomadish

import "time"

// MonitorRequest asks for an agent's log lines as they are written.
type MonitorRequest struct {
	LogLevel string // trace, debug, info (default), warn or error
	LogJSON  bool
	NodeID   string // of the agent whose log is wanted; empty: the one that is asked
	ServerID string // likewise; "leader" is the leader
}

// ProfileRequest asks an agent for a profile of itself.
type ProfileRequest struct {
	Name     string // cmdline, profile (of the CPU), trace, or one of Go's: goroutine, heap …
	Seconds  int    // that profile and trace take; default 1
	Debug    int    // 0: for pprof; 1 and 2: text, of those that are Go's
	GC       bool   // collect garbage before
	NodeID   string // of the agent whose profile is wanted; empty: the one that is asked
	ServerID string // likewise; "leader" is the leader
}

// HostInfo describes the machine of an agent.
type HostInfo struct {
	AgentID  string
	HostData HostData
}

// HostData is what the operating system says of a machine.
type HostData struct {
	OS          string
	Network     []map[string]string
	ResolvConf  string
	Hosts       string
	Environment map[string]string // of the agent, only what holds no secrets
	Disk        map[string]DiskUsage
}

// DiskUsage is the use of a file system in MiB.
type DiskUsage struct{ DiskMB, UsedMB int64 }

// SchedulerWorkers are the workers of a server that schedule.
type SchedulerWorkers struct {
	ServerID   string            `json:"server_id"`
	Schedulers []SchedulerWorker `json:"schedulers"`
}

// SchedulerWorker is one worker.
type SchedulerWorker struct {
	ID                string    `json:"id"`
	EnabledSchedulers []string  `json:"enabled_schedulers"`
	Started           time.Time `json:"started"`
	Status            string    `json:"status"`
	WorkloadStatus    string    `json:"workload_status"`
}

// SchedulerWorkerConfig says how many workers a server has, and for what.
type SchedulerWorkerConfig struct {
	ServerID          string   `json:"server_id"`
	NumSchedulers     int      `json:"num_schedulers"`
	EnabledSchedulers []string `json:"enabled_schedulers"`
}

// MetricsSummary is an agent's metrics.
type MetricsSummary struct {
	Timestamp string
	Gauges    []Gauge
	Points    []Gauge
	Counters  []Sample
	Samples   []Sample
}

// Gauge is a figure.
type Gauge struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// Sample is a distribution since the agent began.
type Sample struct {
	Name   string
	Count  uint64
	Sum    float64
	Mean   float64
	Labels map[string]string
}
