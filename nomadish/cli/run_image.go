package cli

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// imageFlags are the flags of run that make a job of an image.
type imageFlags struct {
	name, driver         string
	ports, env, volumes  many
	count, cpu, memory   int
	batch, remove, asHCL bool
	attach               bool
}

func (f *imageFlags) register(c *call) {
	c.flags.StringVar(&f.name, "name", "", "with an image: `name` of the job; default: the last part of the image's")
	c.flags.Var(&f.ports, "port", "with an image: a `port`, as [LABEL=][HOST:]PORT: 80 gets any free port of the host, 8080:80 that one; a label alone gets a free port that the task learns from NOMAD_PORT_label; may be repeated")
	c.flags.Var(&f.env, "env", "with an image: `name=value` in the environment; may be repeated")
	c.flags.Var(&f.volumes, "volume", "with an image: a directory of the node in the container, as `from:to[:ro]`; may be repeated")
	c.flags.IntVar(&f.count, "count", 1, "with an image: how many to run")
	c.flags.IntVar(&f.cpu, "cpu", 0, "with an image: `MHz` of CPU; default 100")
	c.flags.IntVar(&f.memory, "memory", 0, "with an image: `MiB` of memory; default 300")
	c.flags.BoolVar(&f.batch, "batch", false, "with an image: it is to run to its end, once")
	c.flags.BoolVar(&f.remove, "rm", false, "with an image: like -batch; print its output at the end and forget the job")
	c.flags.BoolVar(&f.attach, "it", false, "with an image: run the command with this terminal, and stop the job when it ends; with -rm forget it too")
	c.flags.StringVar(&f.driver, "driver", "docker", "with an image: the task `driver`; raw_exec and exec take a program in place of an image")
	c.flags.BoolVar(&f.asHCL, "hcl", false, "with an image: print the job file instead of running it, to be kept")
}

// isJobFile says that the argument of run is a job file: standard input, a file that is there,
// or a name that ends as those of job files do.
func isJobFile(arg string) bool {
	if arg == "-" || slices.Contains([]string{".hcl", ".json", ".nomad"}, path.Ext(arg)) {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}

// port is what -port asks for; numbers that are 0 are the cluster's choice.
type port struct {
	label      string
	static, to int
}

// readPort reads [LABEL=][HOST:]PORT or LABEL.
func readPort(text string) (port, error) {
	label, numbers, labelled := strings.Cut(text, "=")
	if !labelled {
		if label, numbers = "", text; text != "" && strings.Trim(text, "0123456789:") != "" {
			return port{label: text}, portLabel(text)
		}
	}
	host, inside, both := strings.Cut(numbers, ":")
	if !both {
		host, inside = "", numbers
	}
	p := port{label: label}
	p.to = portNumber(inside)
	if both {
		p.static = portNumber(host)
	}
	if p.to == 0 || both && p.static == 0 {
		return p, fmt.Errorf("-port: %q is not [LABEL=][HOST:]PORT", text)
	}
	p.label = cmp.Or(p.label, map[int]string{80: "http", 443: "https"}[p.to], "p"+strconv.Itoa(p.to))
	return p, portLabel(p.label)
}

// portNumber reads the number of a port; 0: it is none.
func portNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

func portLabel(label string) error {
	if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return fmt.Errorf("-port: %q is no label: letters, digits, - and _", label)
	}
	return nil
}

// jobName makes a job's name of an image's: the last part of its path without tag and digest.
func jobName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name, _, _ := strings.Cut(path.Base(image), ":")
	return cmp.Or(strings.Trim(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name), "-"), "job")
}

// jobText writes the job file of a job that runs an image, or a program where the driver runs
// programs.
func (f *imageFlags) jobText(image string, command []string) (string, error) {
	name := cmp.Or(f.name, jobName(image))
	ports, err := f.readPorts()
	if err != nil {
		return "", err
	}
	env, err := f.readEnv()
	if err != nil {
		return "", err
	}
	if f.attach {
		command = nil
	}
	config, err := f.config(image, command, ports)
	if err != nil {
		return "", err
	}
	w := &hclWriter{}
	w.block("job "+quoted(name), func() {
		w.attributeIf(f.toItsEnd(), "type", quoted(nomadish.JobTypeBatch))
		w.block("group "+quoted(name), func() {
			w.attributeIf(f.count != 1, "count", strconv.Itoa(f.count))
			if f.toItsEnd() {
				w.block("restart", func() { w.attribute("attempts", "0") })
				w.block("reschedule", func() { w.attribute("attempts", "0"); w.attribute("unlimited", "false") })
			}
			writeNetwork(w, ports)
			w.block("task "+quoted(name), func() {
				w.attribute("driver", quoted(f.driver))
				w.attributeIf(f.attach, "kill_timeout", quoted(waitingKill.String()))
				w.block("config", func() {
					for _, c := range config {
						w.attribute(c[0], c[1])
					}
				})
				if len(env) > 0 {
					w.block("env", func() {
						for _, e := range env {
							w.attribute(e[0], quoted(e[1]))
						}
					})
				}
				if f.cpu != 0 || f.memory != 0 {
					w.block("resources", func() {
						w.attributeIf(f.cpu != 0, "cpu", strconv.Itoa(f.cpu))
						w.attributeIf(f.memory != 0, "memory", strconv.Itoa(f.memory))
					})
				}
			})
		})
	})
	return w.b.String(), nil
}

// toItsEnd says that the job ends with its task.
func (f *imageFlags) toItsEnd() bool { return f.batch || f.remove || f.attach }

// command is what -it runs: what follows the image, or a shell; a program where the driver
// runs programs.
func (f *imageFlags) command(image string, words []string) []string {
	switch {
	case f.driver == "raw_exec" || f.driver == "exec":
		return append([]string{image}, words...)
	case len(words) == 0:
		return []string{"sh"}
	}
	return words
}

func (f *imageFlags) readPorts() ([]port, error) {
	var ports []port
	for _, text := range f.ports {
		p, err := readPort(text)
		if err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (f *imageFlags) readEnv() ([][2]string, error) {
	var env [][2]string
	for _, text := range f.env {
		name, value, ok := strings.Cut(text, "=")
		if !ok || !envName.MatchString(name) {
			return nil, fmt.Errorf("-env: %q is not NAME=VALUE with a name of letters, digits and _", text)
		}
		env = append(env, [2]string{name, value})
	}
	return env, nil
}

// config lists the attributes of the driver's config block.
func (f *imageFlags) config(image string, command []string, ports []port) ([][2]string, error) {
	switch f.driver {
	case "docker", "containerd", "containerd-driver":
	case "raw_exec", "exec":
		if len(f.volumes) > 0 {
			return nil, fmt.Errorf("-volume: driver %q has no volumes", f.driver)
		}
		if f.attach {
			return [][2]string{{"command", quoted("/bin/sh")}, {"args", quotedList([]string{"-c", waiting})}}, nil
		}
		config := [][2]string{{"command", quoted(image)}}
		if len(command) > 0 {
			config = append(config, [2]string{"args", quotedList(command)})
		}
		return config, nil
	default:
		return nil, fmt.Errorf("-driver: run can't write the config of driver %q; it knows docker, exec and raw_exec", f.driver)
	}
	config := [][2]string{{"image", quoted(image)}}
	if f.attach {
		config = append(config, [2]string{"entrypoint", quotedList([]string{"sh", "-c", waiting})})
	}
	if len(command) > 0 {
		config = append(config, [2]string{"command", quoted(command[0])})
	}
	if len(command) > 1 {
		config = append(config, [2]string{"args", quotedList(command[1:])})
	}
	if len(ports) > 0 {
		var labels []string
		for _, p := range ports {
			labels = append(labels, p.label)
		}
		config = append(config, [2]string{"ports", quotedList(labels)})
	}
	if len(f.volumes) > 0 {
		config = append(config, [2]string{"volumes", quotedList(f.volumes)})
	}
	return config, nil
}

func writeNetwork(w *hclWriter, ports []port) {
	if len(ports) == 0 {
		return
	}
	w.block("network", func() {
		for _, p := range ports {
			w.block("port "+quoted(p.label), func() {
				w.attributeIf(p.static != 0, "static", strconv.Itoa(p.static))
				w.attributeIf(p.to != 0, "to", strconv.Itoa(p.to))
			})
		}
	})
}

// hclWriter writes a job file. Its text still wants formatting, which aligns.
type hclWriter struct {
	b      strings.Builder
	indent string
}

func (w *hclWriter) block(head string, body func()) {
	w.b.WriteString(w.indent + head + " {\n")
	outer := w.indent
	w.indent += "  "
	body()
	w.indent = outer
	w.b.WriteString(w.indent + "}\n")
}

func (w *hclWriter) attribute(name, value string) {
	w.b.WriteString(w.indent + name + " = " + value + "\n")
}

func (w *hclWriter) attributeIf(wanted bool, name, value string) {
	if wanted {
		w.attribute(name, value)
	}
}

// quoted writes a text as HCL does. What would begin a template of the file stands for itself:
// ${…} reaches the job as it is, whose node fills it in.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		case (r == '$' || r == '%') && strings.HasPrefix(text[i+1:], "{"):
			fmt.Fprintf(&b, `\u%04x`, r) // and not doubled, which is ambiguous behind another one
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quotedList(items []string) string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = quoted(item)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
