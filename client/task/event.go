package task

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Events carry what users and their tools know from Nomad: the sentence in DisplayMessage,
// the facts by name in Details, and the same facts in fields of their own for older readers.

func newEvent(kind, message string, details map[string]string) *nomadish.TaskEvent {
	if details == nil {
		details = map[string]string{}
	}
	return &nomadish.TaskEvent{Type: kind, DisplayMessage: message, Details: details}
}

// ReceivedEvent says that the node has taken over the task.
func ReceivedEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventReceived, "Task received by client", nil)
}

// SetupEvent says what is being prepared.
func SetupEvent(message string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventSetup, message, map[string]string{"message": message})
	e.Message = message
	return e
}

// MessageEvent passes on what a hook has to say.
func MessageEvent(message string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventHookMessage, message, map[string]string{"message": message})
	e.Message = message
	return e
}

// DriverEvent passes on what a driver has to say, such as the progress of a download.
func DriverEvent(message string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventDriver, message, map[string]string{"driver_message": message})
	e.DriverMessage = message
	return e
}

// DownloadingEvent says that the task's artifacts are being fetched.
func DownloadingEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventDownloading, "Client is downloading artifacts", nil)
}

// SiblingFailedEvent says that the task ends because another one of its group failed.
func SiblingFailedEvent(sibling string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventSiblingFailed, fmt.Sprintf("Task's sibling %q failed", sibling),
		map[string]string{"failed_sibling": sibling})
	e.FailedSibling = sibling
	return e
}

// LeaderDeadEvent says that the task ends because its group's leader ended.
func LeaderDeadEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventLeaderDead, "Leader Task in Group dead", nil)
}

// MainDeadEvent says that the task ends because the main tasks of its group ended.
func MainDeadEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventMainDead, "Main tasks in the group died", nil)
}

// SignalingEvent says that the task is sent a signal.
func SignalingEvent(signal, reason string) *nomadish.TaskEvent {
	message := "Task being sent signal " + signal
	if reason != "" {
		message += ": " + reason
	}
	e := newEvent(nomadish.TaskEventSignaling, message, map[string]string{"signal": signal, "task_signal_reason": reason})
	e.TaskSignal, e.TaskSignalReason = signal, reason
	return e
}

func startedEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventStarted, "Task started by client", nil)
}

func setupFailureEvent(err error) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventSetupFailure, err.Error(), map[string]string{"setup_error": err.Error()})
	e.SetupError = err.Error()
	return e
}

func downloadFailureEvent(err error) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventArtifactFailed, err.Error(), map[string]string{"download_error": err.Error()})
	e.DownloadError = err.Error()
	return e
}

func validationEvent(err error) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventFailedValidation, err.Error(), map[string]string{"validation_error": err.Error()})
	e.ValidationError = err.Error()
	return e
}

func driverFailureEvent(err error) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventDriverFailure, err.Error(), map[string]string{"driver_error": err.Error()})
	e.DriverError = err.Error()
	return e
}

// terminatedEvent says how the task's process ended. limit is the memory in bytes at which
// the kernel kills it; 0: nobody knows.
func terminatedEvent(x drivers.Exit, limit int64) *nomadish.TaskEvent {
	message := x.Err
	if x.OOMKilled && message == "" {
		message = outOfMemory(x, limit)
	}
	parts := []string{"Exit Code: " + strconv.Itoa(x.Code)}
	details := map[string]string{
		"exit_code":  strconv.Itoa(x.Code),
		"signal":     strconv.Itoa(x.Signal),
		"oom_killed": strconv.FormatBool(x.OOMKilled),
	}
	if x.Signal != 0 {
		parts = append(parts, "Signal: "+strconv.Itoa(x.Signal))
		if name := signalNames[x.Signal]; name != "" {
			details["signal_name"] = name
		}
	}
	if message != "" {
		parts = append(parts, fmt.Sprintf("Exit Message: %q", message))
		details["exit_message"] = message
	}
	if x.OOMPeak > 0 {
		details["oom_peak_bytes"] = strconv.FormatInt(x.OOMPeak, 10)
	}
	if x.OOMKilled && limit > 0 {
		details["oom_limit_bytes"] = strconv.FormatInt(limit, 10)
	}
	e := newEvent(nomadish.TaskEventTerminated, strings.Join(parts, ", "), details)
	e.ExitCode, e.Signal, e.Message = x.Code, x.Signal, message
	return e
}

// outOfMemory says how much the task might use, and how much it did.
func outOfMemory(x drivers.Exit, limit int64) string {
	message := "OOM Killed"
	const mib = 1 << 20
	if limit > 0 {
		message += fmt.Sprintf(": memory limit %d MiB", limit/mib)
		if x.OOMPeak > 0 {
			message += fmt.Sprintf(", peak %.1f MiB", float64(x.OOMPeak)/mib)
		}
	}
	return message
}

// signalNames are the signals that end tasks, by their numbers on Linux.
var signalNames = map[int]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
	10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}

func restartingEvent(delay time.Duration, reason string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventRestarting, fmt.Sprintf("Task restarting in %s", delay),
		map[string]string{"restart_reason": reason, "start_delay": strconv.FormatInt(int64(delay), 10)})
	e.RestartReason, e.StartDelay = reason, int64(delay)
	return e
}

func notRestartingEvent(reason string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventNotRestarting, reason, map[string]string{"restart_reason": reason, "fails_task": "true"})
	e.RestartReason, e.FailsTask = reason, true
	return e
}

func restartSignalEvent(reason string) *nomadish.TaskEvent {
	e := newEvent(nomadish.TaskEventRestartSignal, reason, map[string]string{"restart_reason": reason})
	e.RestartReason = reason
	return e
}

func killingEvent(reason string, timeout time.Duration) *nomadish.TaskEvent {
	message := fmt.Sprintf("Sent interrupt. Waiting %s before force killing", timeout)
	details := map[string]string{"kill_timeout": timeout.String()}
	if reason != "" {
		message = "Killing task: " + reason
		details["kill_reason"] = reason
	}
	e := newEvent(nomadish.TaskEventKilling, message, details)
	e.KillReason, e.KillTimeout = reason, timeout
	return e
}

func killedEvent() *nomadish.TaskEvent {
	return newEvent(nomadish.TaskEventKilled, "Task successfully killed", nil)
}

// withEvent returns the state with one more event, without the oldest ones beyond the limit.
func withEvent(s *nomadish.TaskState, e *nomadish.TaskEvent, now time.Time) {
	if e.Time == 0 {
		stamped := *e
		stamped.Time = now.UnixNano()
		e = &stamped
	}
	keep := s.Events[max(0, len(s.Events)+1-nomadish.MaxTaskEvents):]
	s.Events = append(slices.Clip(slices.Clone(keep)), e)
}
