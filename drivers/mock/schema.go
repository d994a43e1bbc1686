package mock

import (
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Schema describes the options of mock_driver.
func (d *Driver) Schema() drivers.Schema {
	return drivers.Schema{
		"run_for":                 {Type: nomadish.ConfigDuration, Doc: "How long the task runs; negative: until it is stopped."},
		"exit_code":               {Type: nomadish.ConfigNumber, Default: "0", Doc: "The code with which it ends."},
		"exit_signal":             {Type: nomadish.ConfigNumber, Default: "0", Doc: "The signal that ends it."},
		"exit_err_msg":            {Type: nomadish.ConfigString, Doc: "The error with which it ends."},
		"start_error":             {Type: nomadish.ConfigString, Doc: "The error with which its start fails."},
		"start_error_recoverable": {Type: nomadish.ConfigBool, Doc: "Whether that start may be tried again."},
		"start_block_for":         {Type: nomadish.ConfigDuration, Doc: "How long its start takes."},
		"kill_after":              {Type: nomadish.ConfigDuration, Doc: "How long it goes on after it was told to stop."},
		"signal_error":            {Type: nomadish.ConfigString, Doc: "The error with which it answers signals."},
		"stdout_string":           {Type: nomadish.ConfigString, Doc: "What it writes."},
		"stdout_repeat":           {Type: nomadish.ConfigNumber, Doc: "How often it writes that again."},
		"stdout_repeat_duration":  {Type: nomadish.ConfigDuration, Doc: "The pause before each repetition."},
	}
}
