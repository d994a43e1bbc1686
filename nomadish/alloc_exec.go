package nomadish

import "io"

// ExecRequest is a command to run inside a running task.
type ExecRequest struct {
	Task    string // its name; a driver knows the task by its handle
	Command []string
	TTY     bool
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer // not used with TTY
	Resize  <-chan TerminalSize
}

// TerminalSize is a terminal's, in characters. The zero value says that none is known.
type TerminalSize struct {
	Height int `json:"height,omitempty"`
	Width  int `json:"width,omitempty"`
}

// Valid says whether there can be such a terminal, or whether none is known.
func (s TerminalSize) Valid() bool {
	return s == TerminalSize{} || s.Height > 0 && s.Width > 0 && s.Height < 1<<16 && s.Width < 1<<16
}

// ExecHandshake is the first message of a caller that can't send headers, such as a browser.
type ExecHandshake struct {
	Version   int        `json:"version"` // 1
	AuthToken SecretText `json:"auth_token"`
}

// ExecInput is a message to a command. The zero message is a heartbeat.
type ExecInput struct {
	Stdin   *ExecData     `json:"stdin,omitempty"`
	TTYSize *TerminalSize `json:"tty_size,omitempty"`
}

// ExecOutput is a message of a command. The zero message is a heartbeat; the last one has
// Exited and Result.
type ExecOutput struct {
	Stdout *ExecData   `json:"stdout,omitempty"`
	Stderr *ExecData   `json:"stderr,omitempty"`
	Exited bool        `json:"exited,omitempty"`
	Result *ExecResult `json:"result,omitempty"`
}

// ExecData is a piece of a stream, or its end.
type ExecData struct {
	Data  []byte `json:"data,omitempty"`
	Close bool   `json:"close,omitempty"`
}

// ExecResult is how a command ended.
type ExecResult struct {
	ExitCode int `json:"exit_code"`
}

// AllocSignalRequest sends a signal by its name to a task, or to all that run if Task is empty.
type AllocSignalRequest struct {
	Task   string
	Signal string
}

// AllocRestartRequest restarts a task, all that run if TaskName is empty, or with AllTasks
// all of them, ended ones too, in the order of their lifecycles.
type AllocRestartRequest struct {
	TaskName string
	AllTasks bool
}
