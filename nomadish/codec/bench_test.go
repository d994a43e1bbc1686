package codec_test

import (
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/nomadish/codec/codectest"
)

// allocation is a running allocation of one task: about 22 fields set, five score rows,
// three task events.
func allocation() *nomadish.Allocation {
	event := func(kind, message string) *nomadish.TaskEvent {
		return &nomadish.TaskEvent{
			Type: kind, Time: 1_700_000_000_000_000_000, DisplayMessage: message,
			Details: map[string]string{"message": message, "fails_task": "false"}, Message: message,
		}
	}
	a := &nomadish.Allocation{
		ID: nomadish.NewID(), Namespace: "default", EvalID: nomadish.NewID(), Name: "web.frontend[17]",
		NodeID: nomadish.NewID(), NodeName: "node-0017.example.com", JobID: "web", JobVersion: 3, TaskGroup: "frontend",
		AllocatedResources: &nomadish.AllocatedResources{
			Tasks: map[string]*nomadish.AllocatedTaskResources{"server": {
				Cpu: nomadish.AllocatedCpuResources{CpuShares: 500}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: 256},
			}},
			Shared: nomadish.AllocatedSharedResources{
				DiskMB: 300, Ports: []nomadish.PortMapping{{Label: "http", Value: 23456, To: 80, HostIP: "10.0.0.17"}},
			},
		},
		Metrics: &nomadish.AllocationMetric{
			NodesEvaluated: 5000, NodesInPool: 5000, NodePool: "default", NodesAvailable: map[string]int{"dc1": 5000},
			AllocationTime: 20 * time.Microsecond,
		},
		DesiredStatus: nomadish.AllocDesiredRun, ClientStatus: nomadish.AllocClientRunning, ClientDescription: "Tasks are running",
		TaskStates: map[string]*nomadish.TaskState{"server": {
			State: nomadish.TaskStateRunning, StartedAt: time.Unix(1_700_000_000, 0).UTC(), Events: []*nomadish.TaskEvent{
				event(nomadish.TaskEventReceived, "Task received by client"),
				event(nomadish.TaskEventSetup, "Building Task Directory"),
				event(nomadish.TaskEventStarted, "Task started by client"),
			},
		}},
		CreateIndex: 123_456, ModifyIndex: 123_490, AllocModifyIndex: 123_456,
		CreateTime: 1_700_000_000_000_000_000, ModifyTime: 1_700_000_001_000_000_000,
	}
	for range 5 {
		a.Metrics.ScoreMetaData = append(a.Metrics.ScoreMetaData, &nomadish.NodeScoreMeta{
			NodeID: nomadish.NewID(), NormScore: 0.75,
			Scores: map[string]float64{"binpack": 0.75, "job-anti-affinity": -0.1},
		})
	}
	return a
}

func BenchmarkAllocation(b *testing.B) {
	benchmark(b, allocation(), func() codectest.Value { return new(nomadish.Allocation) })
}

func BenchmarkJob(b *testing.B) {
	jobs := corpusJobs(b)
	largest := jobs[0]
	for _, j := range jobs {
		if len(codec.Marshal(j)) > len(codec.Marshal(largest)) {
			largest = j
		}
	}
	b.Run("first", func(b *testing.B) {
		benchmark(b, jobs[0], func() codectest.Value { return new(nomadish.Job) })
	})
	b.Run("largest", func(b *testing.B) {
		benchmark(b, largest, func() codectest.Value { return new(nomadish.Job) })
	})
}

func benchmark(b *testing.B, v codectest.Value, fresh func() codectest.Value) {
	encoded := codec.Marshal(v)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = v.AppendCodec(buf[:0])
		}
		b.ReportMetric(float64(len(buf)), "bytes")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := codec.Unmarshal(encoded, fresh()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
