package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

// maxJobFile bounds what is read of a job file, in bytes: no server takes more.
const maxJobFile = 8 << 20

// jobFlags say how a job file is read.
type jobFlags struct {
	json           bool
	strict         bool
	vars, varFiles many
}

func (f *jobFlags) register(c *call) {
	c.flags.BoolVar(&f.json, "json", false, "the file is a job in the JSON of the API, alone or under the key Job")
	c.flags.BoolVar(&f.strict, "hcl2-strict", true, "refuse values for variables that the file does not declare")
	c.flags.Var(&f.vars, "var", "`name=value` of a variable; may be repeated")
	c.flags.Var(&f.varFiles, "var-file", "`file` with values of variables; may be repeated")
}

// words are the flags as one would type them.
func (f *jobFlags) words() (words []string) {
	if f.json {
		words = append(words, "-json")
	}
	if !f.strict {
		words = append(words, "-hcl2-strict=false")
	}
	for _, v := range f.vars {
		words = append(words, "-var", commandLine(v))
	}
	for _, name := range f.varFiles {
		words = append(words, "-var-file", commandLine(name))
	}
	return words
}

// jobFile is a job file that was read.
type jobFile struct {
	path       string
	text       []byte
	job        *nomadish.Job
	positions  jobspec.Positions // nil for a job in JSON
	submission *nomadish.JobSubmission
}

// readJob reads a job file, or standard input for "-".
func (c *call) readJob(path string, flags *jobFlags) (*jobFile, error) {
	f := &jobFile{path: path}
	var err error
	if f.text, err = c.readText(path); err != nil {
		return nil, err
	}
	if path == "-" {
		f.path = "stdin"
	}
	if flags.json {
		return f, f.decode(flags)
	}
	spec, err := jobspec.Load(jobspec.Config{
		Path: f.path, Body: f.text, AllowFS: true, Strict: flags.strict, Now: c.Now,
		Vars: flags.vars, VarFiles: flags.varFiles, Envs: c.Environ,
	})
	if err != nil {
		return nil, err
	}
	f.job, f.positions = spec.Job, spec.Positions
	f.submission = &nomadish.JobSubmission{Source: string(f.text), Format: "hcl2"}
	for _, v := range flags.vars {
		name, value, _ := strings.Cut(v, "=")
		if f.submission.VariableFlags == nil {
			f.submission.VariableFlags = map[string]string{}
		}
		f.submission.VariableFlags[name] = value
	}
	for _, name := range flags.varFiles {
		text, err := c.readText(name)
		if err != nil {
			return nil, err
		}
		f.submission.Variables += string(text) + "\n"
	}
	return f, nil
}

// readText reads a file, or standard input for "-".
func (c *call) readText(path string) ([]byte, error) {
	in := c.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	if in == nil {
		return nil, errors.New("there is no standard input")
	}
	text, err := io.ReadAll(io.LimitReader(in, maxJobFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > maxJobFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxJobFile)
	}
	return text, nil
}

// decode reads a job in JSON.
func (f *jobFile) decode(flags *jobFlags) error {
	if len(flags.vars)+len(flags.varFiles) > 0 {
		return errors.New("a job in JSON has no variables: -json excludes -var and -var-file")
	}
	var in struct{ Job *nomadish.Job }
	if err := nomadish.DecodeJSON(f.text, &in); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.job = in.Job
	if f.job == nil {
		f.job = &nomadish.Job{}
		if err := nomadish.DecodeJSON(f.text, f.job); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	if nomadish.Val(f.job.ID) == "" {
		return fmt.Errorf("%s: the job has no ID", f.path)
	}
	f.submission = &nomadish.JobSubmission{Source: string(f.text), Format: "json"}
	return nil
}

// check says what is wrong with the job and what its user should know, as far as that can be
// said without a server.
func (f *jobFile) check() (nomadish.Warnings, error) {
	job := f.job.Copy()
	job.Admit()
	cluster := nomadish.Admission{VaultClusters: vaultClusters(job)}
	warnings := cluster.Warnings(job)
	err := cluster.Validate(job)
	var invalid *nomadish.ValidationError
	if !errors.As(err, &invalid) {
		return warnings, err
	}
	leaves := slices.Collect(invalid.Leaves())
	var b strings.Builder
	fmt.Fprintf(&b, "job %q is not valid: %s\n", nomadish.Val(job.ID), plural(len(leaves), "fault"))
	for _, fault := range leaves {
		b.WriteString("\n")
		f.point(&b, job, fault)
	}
	return warnings, nomadish.Errorf(nomadish.KindInvalid, "%s", b.String())
}

// vaultClusters lists those that the job uses: whether they are there, a server knows.
func vaultClusters(job *nomadish.Job) (names []string) {
	for _, t := range job.AllTasks() {
		if t.Vault != nil {
			names = append(names, t.Vault.Cluster)
		}
	}
	return names
}

// point writes a fault, with its place in the file where it has one.
func (f *jobFile) point(b *strings.Builder, admitted *nomadish.Job, fault nomadish.Fault) {
	at, ok := f.positions.Find(admitted.FilePath(fault.Path))
	if !ok {
		if fault.Path != "" {
			fmt.Fprintf(b, "  on %s, in %s:\n", f.path, fault.Path)
		}
		fmt.Fprintf(b, "%s\n", fault.Message)
		return
	}
	fmt.Fprintf(b, "  on %s line %d, column %d:\n", at.Filename, at.Start.Line, at.Start.Column)
	lines := strings.Split(string(f.text), "\n")
	if n := at.Start.Line; at.Filename == f.path && n >= 1 && n <= len(lines) && len(lines[n-1]) <= 200 {
		line := strings.ReplaceAll(lines[n-1], "\t", " ")
		to := len(line) + 1
		if at.End.Line == n {
			to = at.End.Column
		}
		fmt.Fprintf(b, "%4d: %s\n%s%s\n", n, line, strings.Repeat(" ", 5+at.Start.Column), strings.Repeat("^", max(1, to-at.Start.Column)))
	}
	fmt.Fprintf(b, "%s\n", fault.Message)
}

// warn shows warnings as one list, whatever form they come in.
func (c *call) warn(text string) {
	if text = strings.TrimSpace(text); text != "" {
		fmt.Fprintf(c.Stderr, "Warning: %s\n", printable(text))
	}
}
