// Package jobspec reads job files: Nomad's job language, which is HCL2 with
// variables, locals, functions and dynamic blocks, and its JSON form.
//
//	job, err := jobspec.Parse(jobspec.Config{Path: "web.nomad.hcl", Body: text, AllowFS: true})
//
// A fault in the file comes back as an [*Error], which knows file, line and
// column. [Load] returns in addition where in the file each part of the job
// stands, so that a fault found later can be pointed at as well.
//
// What is read is untrusted: the size of the text, its nesting, and the work
// and memory that its expressions may cost are bounded.
package jobspec

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/nomadish/nomadish/nomadish"
)

// Config says what to read and what the file may use.
type Config struct {
	Path       string           // name of the file in messages; default "input.hcl"
	Body       []byte           // text of the job file, HCL or JSON
	BaseDir    string           // where file functions look first; default the directory of Path
	AllowFS    bool             // lets functions such as file read the disk; otherwise they fail
	Vars       []string         // values of variables, "name=value", as given with -var
	VarFiles   []string         // paths of files with values of variables
	VarContent string           // text of such a file, as the HTTP API takes it
	Envs       []string         // environment, "NAME=value"; NOMAD_VAR_name and NOMADISH_VAR_name set a variable
	Strict     bool             // a value for a variable that the file does not declare is an error
	Now        func() time.Time // clock of the function timestamp; default time.Now
}

// Spec is a job file that was read.
type Spec struct {
	Job       *nomadish.Job
	Positions Positions // where in the file the parts of Job stand
}

// Parse reads a job file. The job has what the file says and the few defaults
// that belong to the language; [nomadish.Job.Normalize] fills in the others.
func Parse(cfg Config) (*nomadish.Job, error) {
	spec, err := Load(cfg)
	if err != nil {
		return nil, err
	}
	return spec.Job, nil
}

// Load is Parse that also tells where the parts of the job stand in the file.
func Load(cfg Config) (*Spec, error) {
	cfg = cfg.withDefaults()
	src := newSources()
	body, err := src.parse(cfg.Path, cfg.Body)
	if err != nil {
		return nil, err
	}
	root, diags := readRoot(body)
	if diags.HasErrors() {
		return nil, src.fault(diags)
	}
	ev := newEvaluator(cfg, src)
	if diags := ev.declare(cfg, root); diags.HasErrors() {
		return nil, src.fault(ev.explain(diags))
	}
	d := newDecoder(ev)
	job, diags := d.job(root.job)
	if diags = ev.explain(diags); diags.HasErrors() {
		return nil, src.fault(diags)
	}
	return &Spec{Job: job, Positions: d.positions}, nil
}

func (c Config) withDefaults() Config {
	c.Path = cmp.Or(c.Path, "input.hcl")
	c.BaseDir = cmp.Or(c.BaseDir, filepath.Dir(c.Path))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// root is a job file taken apart into its top-level blocks.
type root struct {
	job       *hcl.Block
	variables hcl.Blocks // variable "name" {…}
	defaults  hcl.Blocks // variables {…}: names with defaults
	locals    hcl.Blocks
}

var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "variables"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "job", LabelNames: []string{"name"}},
}}

func readRoot(body hcl.Body) (*root, hcl.Diagnostics) {
	content, diags := body.Content(rootSchema)
	if diags.HasErrors() {
		return nil, diags
	}
	r := &root{}
	for _, block := range content.Blocks {
		switch block.Type {
		case "variable":
			r.variables = append(r.variables, block)
		case "variables":
			r.defaults = append(r.defaults, block)
		case "locals":
			r.locals = append(r.locals, block)
		case "job":
			if r.job != nil {
				return nil, diags.Append(&hcl.Diagnostic{
					Severity: hcl.DiagError,
					Summary:  "Duplicate job block",
					Detail:   `Only one block of type "job" is allowed. Previous definition was at ` + r.job.DefRange.String() + ".",
					Subject:  &block.DefRange,
				})
			}
			r.job = block
		}
	}
	if r.job == nil {
		return nil, diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Missing job block",
			Detail:   "A job block is required",
		})
	}
	return r, nil
}
