package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
)

func operatorRecoverCommand() command {
	return command{
		words: "operator recover", summary: "Let servers go on when most of the servers are lost for good",
		help: `  Without -data-dir it changes nothing: it asks the servers that still answer how far they
  are, and says on which one to go on, and how. What only lost servers had is lost.

  With -data-dir it shows what the server in there has, whose agent must be stopped. With
  -index and -term as well, which have to be those of its newest entry, it makes a cluster
  of that server alone; of others, too, that -with names, where the same is done next.
  Every other server must be stopped, and not come back with its old data.

  -discard sets aside what a server knows of its cluster: when its data is damaged, or when
  the cluster was recovered without it. It joins anew then, under another ID, and gets its
  data from the others; its agent's configuration has to say where they are. Where the
  cluster's own authority gives certificates, "join" has to be run for it again.`,
		args: "", example: "  nomadish operator recover\n  nomadish operator recover -data-dir /var/lib/nomadish -index 7301 -term 12\n" +
			"  nomadish operator recover -data-dir /var/lib/nomadish -discard",
		run: runOperatorRecover,
	}
}

// survival are the flags of operator recover.
type survival struct {
	dataDir     string
	index, term uint64
	with        many
	discard     bool
}

func runOperatorRecover(ctx context.Context, c *call) error {
	c.remoteFlags()
	r := &survival{}
	c.flags.StringVar(&r.dataDir, "data-dir", "", "the data `directory` of a stopped agent")
	c.flags.Uint64Var(&r.index, "index", 0, "`index` of the newest entry there; required to change anything")
	c.flags.Uint64Var(&r.term, "term", 0, "`term` of the newest entry there; required to change anything")
	c.flags.Var(&r.with, "with", "`ID` of another server that goes on as well; may be repeated")
	c.flags.BoolVar(&r.discard, "discard", false, "set the server's data aside, so that it joins anew")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case r.dataDir == "" && (r.index != 0 || r.term != 0 || r.discard || len(r.with) > 0):
		return c.misused("-data-dir is required with -index, -term, -with and -discard")
	case r.discard && (r.index != 0 || r.term != 0 || len(r.with) > 0):
		return c.misused("-discard excludes -index, -term and -with")
	case (r.index == 0) != (r.term == 0):
		return c.misused("-index and -term go together")
	case r.dataDir == "":
		return c.adviseRecovery(ctx, client)
	case r.discard:
		aside, err := agent.DiscardServer(r.dataDir, c.Now())
		if err != nil {
			return err
		}
		return c.print("What the server knew is in %s now. Start its agent: it joins as a new server.\n", aside)
	case r.index == 0:
		return c.showSurvivor(r.dataDir)
	}
	s, err := agent.RecoverSurvivor(r.dataDir, r.index, r.term, r.with)
	if err != nil {
		return err
	}
	next := "Start its agent: it leads."
	if len(r.with) > 0 {
		next = "Do the same with each of the others, with their own -index and -term, and start their agents."
	}
	return c.print("Server %s goes on from entry %d of term %d. %s\n", s.ID, s.Holds.Index, s.Holds.Term, next)
}

// showSurvivor tells what a stopped server has.
func (c *call) showSurvivor(dataDir string) error {
	s, err := agent.LookSurvivor(dataDir)
	if err != nil {
		return err
	}
	voters := 0
	for _, p := range s.Holds.Peers {
		if p.Voter {
			voters++
		}
	}
	return c.print("Server %s is one of %d that vote. Its newest entry is %d, of term %d; all up to it is kept.\n"+
		"Nothing is changed. If it has the newest entry of the servers that are left, by term and then by index, go on with it:\n"+
		"  nomadish operator recover -data-dir %s -index %d -term %d\n",
		s.ID, voters, s.Holds.Index, s.Holds.Term, dataDir, s.Holds.Index, s.Holds.Term)
}

// adviseRecovery says which of the servers that answer is the one to go on with.
func (c *call) adviseRecovery(ctx context.Context, client *api.Client) error {
	conf, err := client.Operator().RaftConfiguration(ctx, &api.Query{Stale: true})
	if err != nil {
		return err
	}
	var alive []*nomadish.RaftServer
	rows := make([][]string, len(conf.Servers))
	voters, answer := 0, 0
	for i, s := range conf.Servers {
		if s.Leader && s.LastIndex > 0 {
			return fmt.Errorf("server %s leads: the cluster works, there is nothing to recover", s.ID)
		}
		index, term := "-", "-"
		if s.LastIndex > 0 {
			alive = append(alive, s)
			index, term = strconv.FormatUint(s.LastIndex, 10), strconv.FormatUint(s.LastTerm, 10)
		}
		if s.Voter {
			voters++
			if s.LastIndex > 0 {
				answer++
			}
		}
		rows[i] = []string{s.Node, s.ID, s.Address, yesNo(s.Voter), index, term}
	}
	if len(alive) == 0 {
		return errors.New("no server says how far it is")
	}
	best := slices.MaxFunc(alive, func(a, b *nomadish.RaftServer) int {
		return cmp.Or(cmp.Compare(a.LastTerm, b.LastTerm), cmp.Compare(a.LastIndex, b.LastIndex))
	})
	p := &page{}
	p.table([]string{"Node", "ID", "Address", "Voter", "Index", "Term"}, rows)
	if err := c.print("%s\n", p.String()); err != nil {
		return err
	}
	if answer > voters/2 {
		return fmt.Errorf("%d of %d voters answer, which is a majority: they will elect a leader, there is nothing to recover", answer, voters)
	}
	return c.print("%d of %d voters answer, too few to elect a leader. If the others are lost for good, stop the agent of %s (%s) and run there\n"+
		"  nomadish operator recover -data-dir DIR -index %d -term %d\n"+
		"It keeps all up to that entry; what only the lost servers had is lost. Then start it, and on every other server run\n"+
		"  nomadish operator recover -data-dir DIR -discard\n", answer, voters, best.Node, best.Address, best.LastIndex, best.LastTerm)
}
