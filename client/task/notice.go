package task

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// noticeEvery is the time between two events of one download: each goes to disk and to the
// servers.
const noticeEvery = 2 * time.Second

// detailNotice is the detail of an event that holds its notice's key.
const detailNotice = "notice"

// noticeEvent makes an event of a notice. image is what the task runs, if that is known.
func noticeEvent(kind string, n drivers.Notice, image string) *nomadish.TaskEvent {
	e := newEvent(kind, n.Message, map[string]string{})
	if kind == nomadish.TaskEventDriver {
		e.DriverMessage = n.Message
		e.Details["driver_message"] = n.Message
	} else {
		e.Message = n.Message
		e.Details["message"] = n.Message
	}
	if n.Key != "" {
		e.Details[detailNotice] = n.Key
	}
	if n.Total > 0 {
		e.Details["bytes"] = strconv.FormatInt(n.Done, 10)
		e.Details["total"] = strconv.FormatInt(n.Total, 10)
	}
	if n.Key == "image" && image != "" {
		e.Details["image"] = image
	}
	return e
}

// notifier returns what turns notices into events of a type. Of notices that only count on,
// one in a while becomes an event.
func (r *Runner) notifier(kind string, spec *drivers.TaskSpec) func(drivers.Notice) {
	var mu sync.Mutex
	last := map[string]time.Time{}
	return func(n drivers.Notice) {
		mu.Lock()
		defer mu.Unlock()
		counting := n.Key != "" && n.Done < n.Total
		if t, ok := last[n.Key]; ok && counting && time.Since(t) < noticeEvery {
			return
		}
		last[n.Key] = time.Now()
		image := ""
		if spec != nil {
			image, _ = spec.Config["image"].(string)
		}
		r.post(Noticed{Key: n.Key, Event: noticeEvent(kind, n, image)})
	}
}

// withNotice adds an event to the state, or puts it into the place of the one with the same
// key, if that belongs to the same start.
func withNotice(s *nomadish.TaskState, key string, e *nomadish.TaskEvent, now time.Time) {
	for i := len(s.Events) - 1; i >= 0 && key != ""; i-- {
		old := s.Events[i]
		if old.Type == nomadish.TaskEventTerminated || old.Type == nomadish.TaskEventRestarting {
			break // what is before belongs to an earlier start
		}
		if old.Type == e.Type && old.Details[detailNotice] == key {
			stamped := *e
			stamped.Time = now.UnixNano()
			s.Events = slices.Clone(s.Events)
			s.Events[i] = &stamped
			return
		}
	}
	withEvent(s, e, now)
}
