//go:build linux && corpus

package corpus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// sight is a task as the kernel sees it.
type sight struct {
	node  *machine.Node
	alloc *nomadish.Allocation
	group *nomadish.TaskGroup
	task  *nomadish.Task

	proc   string // the directory of its first process in /proc
	env    map[string]string
	args   []string
	status map[string]string
	mounts map[string]string // options by mount point
}

// isContainer says that a task is run from an image.
func isContainer(task *nomadish.Task) bool {
	return slices.Contains([]string{"docker", "containerd", "containerd-driver"}, task.Driver)
}

// find finds the task's first process among those of its allocation.
func (s *sight) find(pids []int) error {
	for _, pid := range pids {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		env, err := os.ReadFile(filepath.Join(proc, "environ"))
		if err != nil {
			continue // it has ended
		}
		vars := map[string]string{}
		for _, line := range split(env) {
			key, value, _ := strings.Cut(line, "=")
			vars[key] = value
		}
		if vars["NOMAD_TASK_NAME"] == s.task.Name {
			s.proc, s.env = proc, vars
			break // children are made later
		}
	}
	if s.proc == "" {
		return fmt.Errorf("it has no process")
	}
	args, err := os.ReadFile(filepath.Join(s.proc, "cmdline"))
	s.args = split(args)
	if len(s.args) > 1 && s.args[0] == "/standin" {
		s.args = s.args[1:]
	}
	status, err1 := os.ReadFile(filepath.Join(s.proc, "status"))
	s.status = map[string]string{}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		s.status[key] = strings.TrimSpace(value)
	}
	mounts, err2 := os.ReadFile(filepath.Join(s.proc, "mountinfo"))
	s.mounts = map[string]string{}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 5 {
			s.mounts[fields[4]] = fields[5]
		}
	}
	return errors.Join(err, err1, err2)
}

func split(text []byte) []string {
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// check compares the task with what its job says.
func (s *sight) check(ctx context.Context) error {
	errs := []error{s.checkArgs(), s.checkEnv(), s.checkPorts(), s.checkArtifacts()}
	if s.task.Driver != "raw_exec" {
		errs = append(errs, s.checkDirs(), s.checkUser(), s.checkMemory())
	}
	if isContainer(s.task) {
		errs = append(errs, s.checkImage())
	}
	for _, key := range slices.Sorted(maps.Keys(s.task.Config)) {
		f, ok := options[key]
		if !ok {
			errs = append(errs, fmt.Errorf("option %s: this test does not know how to see it", key))
			continue
		}
		if err := f(ctx, s, s.task.Config[key]); err != nil {
			errs = append(errs, fmt.Errorf("option %s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// fill puts the task's own variables in place of references to them.
func (s *sight) fill(text string) string {
	for {
		before, rest, ok := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		value, known := s.env[name]
		if !ok || !closed || !known {
			return text
		}
		text = before + value + after
	}
}

// checkArgs compares the command line with that which image and options make.
func (s *sight) checkArgs() error {
	image, _ := s.task.Config["image"].(string)
	form := shape{}
	if isContainer(s.task) {
		form = shapeOf(image)
	}
	entrypoint, cmd := form.entrypoint, form.cmd
	if own := list(s.task.Config["entrypoint"]); own != nil {
		entrypoint, cmd = own, nil
	}
	args := list(s.task.Config["args"])
	if command, ok := s.task.Config["command"].(string); ok {
		cmd = append([]string{command}, args...)
	} else if args != nil {
		cmd = args
	}
	want := slices.Concat(entrypoint, cmd)
	for i := range want {
		want[i] = s.fill(want[i])
	}
	got := slices.Clone(s.args)
	if len(got) > 0 && len(want) > 0 && !filepath.IsAbs(want[0]) {
		got[0] = filepath.Base(got[0])
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("command line: got %q, want %q", got, want)
	}
	return nil
}

// list is an option that is a list of strings, or one of them.
func list(option any) (out []string) {
	switch v := option.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
	}
	return out
}

func (s *sight) checkEnv() error {
	want := maps.Clone(s.task.Env)
	if want == nil {
		want = map[string]string{}
	}
	want["NOMAD_ALLOC_ID"] = s.alloc.ID
	for key, value := range want {
		if got := s.env[key]; got != s.fill(value) {
			return fmt.Errorf("variable %s: got %q, want %q", key, got, s.fill(value))
		}
	}
	return nil
}

// checkPorts sees that a task with a network of its own knows the ports in there.
func (s *sight) checkPorts() error {
	want := map[string]string{}
	for _, n := range s.group.Networks {
		for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
			if p.To > 0 && slices.Contains(list(s.task.Config["ports"]), p.Label) {
				want[p.Label] = strconv.Itoa(p.To)
			}
		}
	}
	for label, to := range portMap(s.task) {
		want[label] = fmt.Sprint(to)
	}
	for label, port := range want {
		if got := s.env["NOMAD_PORT_"+label]; got != port && s.task.Config["network_mode"] != "host" {
			return fmt.Errorf("port %s: got %s, want %s", label, got, port)
		}
	}
	return nil
}

// checkArtifacts sees that there is something where artifacts go.
func (s *sight) checkArtifacts() error {
	for _, a := range s.task.Artifacts {
		dest := s.node.AllocFile(s.alloc.ID, filepath.Join(s.task.Name, s.fill(cmp.Or(nomadish.Val(a.RelativeDest), "local"))))
		if found, err := os.ReadDir(dest); err != nil || len(found) == 0 {
			return fmt.Errorf("artifact %s: found %v, %w", *a.GetterSource, found, err)
		}
	}
	return nil
}

// checkDirs sees that the task has the directories of its allocation.
func (s *sight) checkDirs() error {
	for inside, outside := range map[string]string{
		"/alloc": "alloc", "/local": s.task.Name + "/local", "/secrets": s.task.Name + "/secrets",
	} {
		if err := s.same(s.node.AllocFile(s.alloc.ID, outside), inside); err != nil {
			return err
		}
	}
	return nil
}

// same says whether a path of the machine's is found at another path in the task.
func (s *sight) same(outside, inside string) error {
	want, err := os.Stat(outside)
	if err != nil {
		return err
	}
	got, err := os.Stat(filepath.Join(s.proc, "root", inside))
	if err == nil && !os.SameFile(want, got) {
		err = fmt.Errorf("%s is not %s", inside, outside)
	}
	return err
}

func (s *sight) checkUser() error {
	user := s.task.User
	if isContainer(s.task) {
		user = cmp.Or(user, shapeOf(s.task.Config["image"].(string)).user, "0")
	}
	user = strings.ReplaceAll(cmp.Or(user, "nobody"), "nobody", "65534")
	if got := strings.Fields(s.status["Uid"]); len(got) != 4 || got[1] != user {
		return fmt.Errorf("user: got %v, want %s", got, user)
	}
	return nil
}

// checkMemory sees that the task may have as much memory as it asks for, and no more.
func (s *sight) checkMemory() error {
	if s.task.Resources == nil || s.task.Resources.MemoryMB == nil {
		return nil
	}
	want := strconv.Itoa(max(*s.task.Resources.MemoryMB, nomadish.Val(s.task.Resources.MemoryMaxMB)) << 20)
	groups, err := os.ReadFile(filepath.Join(s.proc, "cgroup"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		file := ""
		switch {
		case len(fields) != 3:
		case fields[1] == "memory":
			file = filepath.Join("/sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes")
		case fields[1] == "":
			file = filepath.Join("/sys/fs/cgroup", fields[2], "memory.max")
		}
		if got, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(got)) != want {
			return fmt.Errorf("memory: got %s bytes, want %s", strings.TrimSpace(string(got)), want)
		}
	}
	return nil
}

// checkImage sees that what the image says has its effect.
func (s *sight) checkImage() error {
	image := s.task.Config["image"].(string)
	repo, _ := repository(image)
	if got := s.env[imageEnv]; got != repo {
		return fmt.Errorf("image: got %q, want %q", got, repo)
	}
	form := shapeOf(image)
	for _, path := range form.volumes {
		if s.mounts[path] == "" {
			return fmt.Errorf("volume %s of the image: nothing is mounted there", path)
		}
	}
	dir, err := os.Readlink(filepath.Join(s.proc, "cwd"))
	if want := cmp.Or(s.text("cwd"), s.text("work_dir"), form.workDir, "/"); err == nil && dir != want {
		err = fmt.Errorf("working directory: got %s, want %s", dir, want)
	}
	own, err1 := os.Readlink(filepath.Join(s.proc, "ns/net"))
	hosts, err2 := os.Readlink("/proc/self/ns/net")
	if wantHosts := s.text("network_mode") == "host"; err1 == nil && err2 == nil && (own == hosts) != wantHosts {
		err1 = fmt.Errorf("network: the host's %t, want %t", own == hosts, wantHosts)
	}
	return errors.Join(err, err1, err2)
}

// text is an option of the task's that is one.
func (s *sight) text(option string) string {
	v, _ := s.task.Config[option].(string)
	return v
}
