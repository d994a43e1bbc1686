package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish/audit"
)

func operatorAuditCommand() command {
	return command{
		words: "operator audit", args: "FILE", summary: "Check an agent's audit log, and show what is in it",
		help: `  Each line of the log holds a hash of itself and of the line before. What was changed, added or
  taken away is found, and the command fails. Several files of one log are given in the order of
  their age; with * in the shell that is the former ones first, then the present one.

  Nothing in a file can show that its end is missing: compare the head that is printed with one
  that was kept elsewhere, or give that with -head.`,
		example: "  nomadish operator audit -denied /var/lib/nomadish/audit/audit*.log",
		reads:   true,
		run:     runOperatorAudit,
	}
}

// auditSearch is what is shown of a log.
type auditSearch struct {
	denied               bool
	path, accessor, head string
	quiet                bool
	since                time.Duration
	limit                int
}

// auditReport is what the command shows.
type auditReport struct {
	Entries uint64 // in the files
	Head    string // where the chain ends: NUMBER:SUM
	Shown   []*audit.Entry
	Left    int // that match, beyond the limit; the oldest are left out
}

func runOperatorAudit(_ context.Context, c *call) error {
	s := auditSearch{}
	c.outputFlags()
	c.flags.BoolVar(&s.denied, "denied", false, "show what was denied only")
	c.flags.StringVar(&s.path, "path", "", "show requests whose path begins so")
	c.flags.StringVar(&s.accessor, "accessor", "", "show requests of the token with this accessor `ID`, or of this node")
	c.flags.DurationVar(&s.since, "since", 0, "show what is at most so old")
	c.flags.IntVar(&s.limit, "n", 100, "show at most so many entries, the newest")
	c.flags.BoolVar(&s.quiet, "q", false, "check only, and show no entry")
	c.flags.StringVar(&s.head, "head", "", "the `NUMBER:SUM` that the chain has to end with")
	if err := c.parse(1, -1); err != nil {
		return err
	}
	if s.limit < 1 {
		return c.misused("-n %d: want at least 1", s.limit)
	}
	report, err := s.read(c.args, c.Now())
	if err != nil {
		return err
	}
	if s.head != "" && s.head != report.Head {
		return fmt.Errorf("the chain ends with %s, want %s: lines at its end are missing, or it is another log", report.Head, s.head)
	}
	return c.show(report, report.page)
}

// read checks the files and gathers what is searched for.
func (s *auditSearch) read(files []string, now time.Time) (*auditReport, error) {
	report := &auditReport{Shown: []*audit.Entry{}}
	var head audit.Head
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		head, err = audit.Verify(f, head, func(e *audit.Entry) error {
			report.Entries++
			if s.wants(e, now) {
				report.add(e, s.limit)
			}
			return nil
		})
		f.Close()
		var broken *audit.Broken
		if errors.As(err, &broken) {
			return nil, fmt.Errorf("%s: the chain is broken: %w\nWhat is before is whole: %d entries", name, err, report.Entries)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	report.Head = head.String()
	return report, nil
}

func (s *auditSearch) wants(e *audit.Entry, now time.Time) bool {
	switch {
	case s.quiet, s.denied && !e.Denied():
	case !strings.HasPrefix(e.Payload.Request.Endpoint, s.path):
	case s.accessor != "" && (e.Payload.Auth == nil || e.Payload.Auth.AccessorID != s.accessor):
	case s.since > 0 && now.Sub(e.CreatedAt) > s.since:
	default:
		return true
	}
	return false
}

// add keeps the newest entries.
func (r *auditReport) add(e *audit.Entry, limit int) {
	if len(r.Shown) == limit {
		r.Shown = append(r.Shown[:0], r.Shown[1:]...)
		r.Left++
	}
	r.Shown = append(r.Shown, e)
}

func (r *auditReport) page(p *page) {
	rows := make([][]string, 0, len(r.Shown))
	for _, e := range r.Shown {
		who, outcome := "-", "received"
		if a := e.Payload.Auth; a != nil {
			who = strings.TrimSpace(a.Kind + " " + a.Name)
		}
		if a := e.Payload.Response; a != nil {
			outcome = strings.TrimSpace(strconv.Itoa(a.StatusCode) + " " + a.Error)
		}
		q := e.Payload.Request
		rows = append(rows, []string{e.CreatedAt.UTC().Format(time.RFC3339), who, q.Operation, q.Endpoint, q.Meta.RemoteAddress, outcome})
	}
	if len(rows) > 0 {
		p.table([]string{"Time", "Caller", "Operation", "Path", "From", "Outcome"}, rows)
		p.line("")
	}
	if r.Left > 0 {
		p.line("%d more before these: -n shows them.", r.Left)
	}
	p.line("The chain is whole: %d entries. It ends with", r.Entries)
	p.line("%s", r.Head)
}
