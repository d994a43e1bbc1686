package jobspec

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/nomadish/nomadish/nomadish"
)

// extras is what a block of the job language has beyond the tags of its struct.
type extras struct {
	attrs  []string            // arguments without a field
	blocks []extraBlock        // blocks without a field
	labels map[string][]string // labels of inner blocks without a field
	finish func(d *decoder, g *given, v any) hcl.Diagnostics
}

type extraBlock struct {
	name string
	typ  reflect.Type
}

// given is a block as it stands in the file, for finish.
type given struct {
	block   block
	content content
	attrs   map[string]*hcl.Attribute
	extra   []block // those without a field
	path    string
}

var (
	taskBlock  = extraBlock{"task", reflect.TypeFor[nomadish.Task]()}
	vaultBlock = extraBlock{"vault", reflect.TypeFor[nomadish.Vault]()}
)

// extrasOf returns the rules that the tags of a type can't express.
func extrasOf(t reflect.Type) extras {
	switch t {
	case reflect.TypeFor[nomadish.Job]():
		return extras{blocks: []extraBlock{taskBlock, vaultBlock}, finish: finish(finishJob)}
	case reflect.TypeFor[nomadish.TaskGroup]():
		return extras{blocks: []extraBlock{vaultBlock}, finish: finish(finishGroup)}
	case reflect.TypeFor[nomadish.Task]():
		return extras{labels: map[string][]string{"scaling": {"name"}}, finish: finish(finishTask)}
	case reflect.TypeFor[nomadish.Vault]():
		return extras{finish: finish(finishVault)}
	case reflect.TypeFor[nomadish.Template]():
		return extras{finish: finish(finishTemplate)}
	case reflect.TypeFor[nomadish.PeriodicConfig]():
		return extras{finish: finish(finishPeriodic)}
	case reflect.TypeFor[nomadish.NetworkResource]():
		return extras{finish: finish(finishNetwork)}
	case reflect.TypeFor[nomadish.Constraint]():
		return extras{attrs: append([]string{"distinct_hosts", "distinct_property"}, operatorWords...), finish: finish(finishConstraint)}
	case reflect.TypeFor[nomadish.Affinity]():
		return extras{attrs: operatorWords, finish: finish(finishAffinity)}
	}
	return extras{}
}

// finish adapts a function for one type.
func finish[T any](f func(*decoder, *given, *T) hcl.Diagnostics) func(*decoder, *given, any) hcl.Diagnostics {
	return func(d *decoder, g *given, v any) hcl.Diagnostics { return f(d, g, v.(*T)) }
}

// job reads the job block.
func (d *decoder) job(b *hcl.Block) (*nomadish.Job, hcl.Diagnostics) {
	job := &nomadish.Job{}
	d.place("", b.DefRange)
	diags := d.structure(block{b, d.ev.global}, reflect.ValueOf(job).Elem(), "")
	return job, diags
}

// finishJob names the job after its label, makes a group of each task that has
// none, and hands a vault block down to the tasks.
func finishJob(d *decoder, g *given, job *nomadish.Job) hcl.Diagnostics {
	label := g.block.Labels[0]
	if job.ID == nil {
		job.ID = &label
	}
	if job.Name == nil {
		job.Name = &label
	}
	var diags hcl.Diagnostics
	for _, b := range g.extra {
		if b.Type != taskBlock.name {
			continue
		}
		task := &nomadish.Task{}
		path := join(join(g.path, "task"), b.Labels[0])
		d.place(path, b.DefRange)
		diags = append(diags, d.structure(b, reflect.ValueOf(task).Elem(), path)...)
		job.TaskGroups = append(job.TaskGroups, &nomadish.TaskGroup{Name: nomadish.Ptr(task.Name), Tasks: []*nomadish.Task{task}})
	}
	vault, more := d.vault(g)
	for _, group := range job.TaskGroups {
		inheritVault(group, vault)
	}
	return append(diags, more...)
}

func finishGroup(d *decoder, g *given, group *nomadish.TaskGroup) hcl.Diagnostics {
	vault, diags := d.vault(g)
	inheritVault(group, vault)
	if policy := group.Scaling; policy != nil {
		if policy.Type == "" {
			policy.Type = "horizontal"
		}
		diags = append(diags, requireMax(g, policy)...)
	}
	return diags
}

// requireMax tells of a group's scaling block without max. A task's needs none,
// so the tag can't say it.
func requireMax(g *given, policy *nomadish.ScalingPolicy) hcl.Diagnostics {
	for _, b := range g.content.blocks {
		if b.Type == "scaling" && policy.Max == nil {
			return hcl.Diagnostics{{
				Severity: hcl.DiagError,
				Summary:  "Missing required argument",
				Detail:   `The argument "max" is required, but no definition was found.`,
				Subject:  b.Body.MissingItemRange().Ptr(),
			}}
		}
	}
	return nil
}

// vault reads the vault block of a job or group.
func (d *decoder) vault(g *given) (*nomadish.Vault, hcl.Diagnostics) {
	var vault *nomadish.Vault
	var diags hcl.Diagnostics
	var before hcl.Range
	for _, b := range g.extra {
		switch {
		case b.Type != vaultBlock.name:
		case vault != nil:
			diags = diags.Append(duplicateBlock(b, before))
		default:
			vault, before = &nomadish.Vault{}, b.DefRange
			path := join(g.path, "vault")
			d.place(path, b.DefRange)
			diags = append(diags, d.structure(b, reflect.ValueOf(vault).Elem(), path)...)
		}
	}
	return vault, diags
}

// inheritVault gives the tasks of a group that have no vault block a copy of v.
func inheritVault(group *nomadish.TaskGroup, v *nomadish.Vault) {
	if v == nil {
		return
	}
	for _, task := range group.Tasks {
		if task.Vault == nil {
			c := *v
			task.Vault = &c
		}
	}
}

// finishTask gives scaling policies their type, and the identity without a name
// its own place.
func finishTask(d *decoder, g *given, task *nomadish.Task) hcl.Diagnostics {
	diags := nameScaling(g, task)
	rest := task.Identities[:0]
	for _, id := range task.Identities {
		if id.Name == "" || id.Name == "default" {
			task.Identity = id
		} else {
			rest = append(rest, id)
		}
	}
	task.Identities = rest
	return diags
}

func nameScaling(g *given, task *nomadish.Task) hcl.Diagnostics {
	var diags hcl.Diagnostics
	i := 0
	for _, b := range g.content.blocks {
		if b.Type != "scaling" || i >= len(task.ScalingPolicies) || len(b.Labels) == 0 {
			continue
		}
		policy := task.ScalingPolicies[i]
		i++
		switch b.Labels[0] {
		case "cpu", "mem":
			policy.Type = "vertical_" + b.Labels[0]
		default:
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Invalid scaling policy name",
				Detail:   `The name of a task's scaling policy must be "cpu" or "mem".`,
				Subject:  &b.LabelRanges[0],
			})
		}
	}
	return diags
}

// The language itself, before any other default, fills in these.

func finishVault(_ *decoder, _ *given, v *nomadish.Vault) hcl.Diagnostics {
	fill(&v.Env, true)
	fill(&v.DisableFile, false)
	fill(&v.ChangeMode, "restart")
	return nil
}

func finishTemplate(_ *decoder, _ *given, t *nomadish.Template) hcl.Diagnostics {
	fill(&t.ChangeMode, "restart")
	fill(&t.Splay, 5*time.Second)
	fill(&t.Perms, "0644")
	fill(&t.ErrMissingKey, false)
	return nil
}

func fill[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

func finishPeriodic(_ *decoder, _ *given, p *nomadish.PeriodicConfig) hcl.Diagnostics {
	p.SpecType = nomadish.Ptr("cron")
	return nil
}

// finishNetwork moves the ports with a number of their own to the reserved ones.
func finishNetwork(_ *decoder, _ *given, n *nomadish.NetworkResource) hcl.Diagnostics {
	var dynamic []nomadish.Port
	for _, port := range n.DynamicPorts {
		if port.Value > 0 {
			n.ReservedPorts = append(n.ReservedPorts, port)
		} else {
			dynamic = append(dynamic, port)
		}
	}
	n.DynamicPorts = dynamic
	return nil
}

// operatorWords are the operators that may be written as an argument:
// version = ">= 1" is operator = "version" with value = ">= 1".
var operatorWords = []string{"version", "semver", "regexp", "set_contains", "set_contains_all", "set_contains_any"}

func finishConstraint(d *decoder, g *given, c *nomadish.Constraint) hcl.Diagnostics {
	c.Operand = cmp.Or(c.Operand, "=")
	diags := d.operatorWord(g, &c.RTarget, &c.Operand)
	if attr, ok := g.attrs["distinct_property"]; ok {
		c.Operand = "distinct_property"
		diags = append(diags, d.attribute(attr.Expr, g.block.ctx, reflect.ValueOf(&c.LTarget).Elem())...)
	}
	if attr, ok := g.attrs["distinct_hosts"]; ok {
		var on bool
		diags = append(diags, d.attribute(attr.Expr, g.block.ctx, reflect.ValueOf(&on).Elem())...)
		c.Operand, c.RTarget = "distinct_hosts", fmt.Sprint(on)
	}
	return diags
}

func finishAffinity(d *decoder, g *given, a *nomadish.Affinity) hcl.Diagnostics {
	a.Operand = cmp.Or(a.Operand, "=")
	return d.operatorWord(g, &a.RTarget, &a.Operand)
}

func (d *decoder) operatorWord(g *given, value, operand *string) hcl.Diagnostics {
	for _, word := range operatorWords {
		if attr, ok := g.attrs[word]; ok {
			*operand = word
			return d.attribute(attr.Expr, g.block.ctx, reflect.ValueOf(value).Elem())
		}
	}
	return nil
}
