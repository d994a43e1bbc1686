package agent

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/leader/evals"
)

// maxProfile is the longest time that a profile may take.
const maxProfile = 2 * time.Minute

// debug shows what goes on inside the agent.
type debug Agent

// allowed says whether the agent shows what may tell more than its state does: profiles and
// its machine. Where everybody may do everything, only its configuration allows that; else
// the caller's token has.
func (d *debug) allowed(ctx context.Context) error {
	if d.cfg.Debug || nomadish.CallerFrom(ctx).ID != "" {
		return nil
	}
	return nomadish.ErrDenied
}

// CheckMonitor says what is wrong with a request for the log.
func (d *debug) CheckMonitor(req *nomadish.MonitorRequest) error {
	if _, ok := logLevels[strings.ToLower(req.LogLevel)]; !ok {
		return nomadish.Errorf(nomadish.KindInvalid, "Unknown log level: %q is none of trace, debug, info, warn, error", req.LogLevel)
	}
	return nil
}

// Monitor calls emit with the lines of the log.
func (d *debug) Monitor(ctx context.Context, req *nomadish.MonitorRequest, emit func(*nomadish.StreamFrame) error) error {
	return d.monitors.stream(ctx, req, emit)
}

// Profile returns a profile of the agent.
func (d *debug) Profile(ctx context.Context, req *nomadish.ProfileRequest) ([]byte, string, error) {
	if err := d.allowed(ctx); err != nil {
		return nil, "", err
	}
	took := time.Duration(req.Seconds) * time.Second
	if took < 0 || took > maxProfile {
		return nil, "", nomadish.Errorf(nomadish.KindInvalid, "seconds: %d is not between 0 and %d", req.Seconds, maxProfile/time.Second)
	}
	var buf bytes.Buffer
	switch req.Name {
	case "cmdline":
		return []byte(strings.Join(os.Args, "\x00")), "text/plain; charset=utf-8", nil
	case "profile":
		if err := pprof.StartCPUProfile(&buf); err != nil {
			return nil, "", err
		}
		_ = lifecycle.Sleep(ctx, took) // what was seen until the reader left is a profile too
		pprof.StopCPUProfile()
		return buf.Bytes(), "application/octet-stream", nil
	case "trace":
		if err := trace.Start(&buf); err != nil {
			return nil, "", err
		}
		_ = lifecycle.Sleep(ctx, took) // what was seen until the reader left is a profile too
		trace.Stop()
		return buf.Bytes(), "application/octet-stream", nil
	}
	p := pprof.Lookup(req.Name)
	if p == nil {
		return nil, "", nomadish.Errorf(nomadish.KindNotFound, "Pprof profile not found profile: %s", req.Name)
	}
	if req.GC {
		runtime.GC()
	}
	if err := p.WriteTo(&buf, req.Debug); err != nil {
		return nil, "", err
	}
	if req.Debug > 0 {
		return buf.Bytes(), "text/plain; charset=utf-8", nil
	}
	return buf.Bytes(), "application/octet-stream", nil
}

// harmless are the variables of the environment that hold no secrets.
var harmless = []string{"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "HOME", "LANG", "PATH", "TZ", "USER"}

// maxHostFile bounds what is shown of a file of the machine.
const maxHostFile = 64 << 10

// Host describes the agent's machine.
func (d *debug) Host(ctx context.Context) (*nomadish.HostInfo, error) {
	if err := d.allowed(ctx); err != nil {
		return nil, err
	}
	out := &nomadish.HostInfo{AgentID: d.id, HostData: nomadish.HostData{
		OS: operatingSystem(), Network: []map[string]string{}, Environment: map[string]string{}, Disk: map[string]nomadish.DiskUsage{},
		ResolvConf: hostFile("/etc/resolv.conf"), Hosts: hostFile("/etc/hosts"),
	}}
	h := &out.HostData
	for _, name := range harmless {
		if value, ok := os.LookupEnv(name); ok {
			h.Environment[name] = value
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		row := map[string]string{"name": i.Name, "mac": i.HardwareAddr.String(), "flags": i.Flags.String()}
		if addrs, err := i.Addrs(); err == nil {
			for n, a := range addrs {
				row[fmt.Sprintf("address%d", n)] = a.String()
			}
		}
		h.Network = append(h.Network, row)
	}
	if disk, err := fingerprint.DiskOf(filepath.Clean(d.cfg.DataDir)); err == nil {
		h.Disk[disk.Mount] = nomadish.DiskUsage{DiskMB: int64(disk.Total >> 20), UsedMB: int64((disk.Total - min(disk.Free, disk.Total)) >> 20)}
	}
	return out, nil
}

func operatingSystem() string {
	release := strings.TrimSpace(hostFile("/proc/sys/kernel/osrelease"))
	return strings.TrimSpace(runtime.GOOS + " " + release + " " + runtime.GOARCH)
}

// hostFile returns the beginning of a file, or nothing where there is none.
func hostFile(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data[:min(len(data), maxHostFile)])
}

// coreScheduler is Nomad's name for collecting garbage, which is always done.
const coreScheduler = "_core"

// Schedulers lists the server's workers. They work while it leads.
func (d *debug) Schedulers(context.Context) (*nomadish.SchedulerWorkers, error) {
	if d.server == nil {
		return nil, errNoServer
	}
	status := "Paused"
	if d.server.Consensus().IsLeader() {
		status = "Started"
	}
	out := &nomadish.SchedulerWorkers{ServerID: d.cfg.Name + "." + d.cfg.Region, Schedulers: []nomadish.SchedulerWorker{}}
	busy := d.server.Evals().Stats().Delivered
	workers, types := d.server.Evals().Workers()
	for i := range workers {
		work := "WaitingToDequeue"
		if i < busy {
			work = "Scheduling"
		}
		out.Schedulers = append(out.Schedulers, nomadish.SchedulerWorker{
			ID: fmt.Sprintf("%s-%d", d.id, i), EnabledSchedulers: append(types, coreScheduler), Started: d.started,
			Status: status, WorkloadStatus: work,
		})
	}
	return out, nil
}

// SchedulersConfig says how many workers the server has.
func (d *debug) SchedulersConfig(context.Context) (*nomadish.SchedulerWorkerConfig, error) {
	if d.server == nil {
		return nil, errNoServer
	}
	n, types := d.server.Evals().Workers()
	return &nomadish.SchedulerWorkerConfig{
		ServerID: d.cfg.Name + "." + d.cfg.Region, NumSchedulers: n, EnabledSchedulers: append(types, coreScheduler),
	}, nil
}

// SetSchedulersConfig says how many workers the server has from now on, until it ends.
func (d *debug) SetSchedulersConfig(ctx context.Context, req *nomadish.SchedulerWorkerConfig) (*nomadish.SchedulerWorkerConfig, error) {
	if d.server == nil {
		return nil, errNoServer
	}
	var types []string
	known := []string{nomadish.JobTypeService, nomadish.JobTypeBatch, nomadish.JobTypeSystem, nomadish.JobTypeSysBatch, coreScheduler}
	for _, name := range req.EnabledSchedulers {
		if !slices.Contains(known, name) {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid request: unknown scheduler %q", name)
		}
		if name != coreScheduler {
			types = append(types, name)
		}
	}
	if req.NumSchedulers > evals.MaxWorkers {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid request: num_schedulers: %d are more than %d", req.NumSchedulers, evals.MaxWorkers)
	}
	if req.NumSchedulers < 0 || !slices.Contains(req.EnabledSchedulers, coreScheduler) {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid request")
	}
	d.server.Evals().SetWorkers(req.NumSchedulers, types)
	return d.SchedulersConfig(ctx)
}

var errNoServer = nomadish.Errorf(nomadish.KindInvalid, "this agent is no server")
