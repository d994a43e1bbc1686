package cli

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// savedFindings asks each server of the region that lives whether it saves the state by itself as it should. Servers that are
// not to do so are not told of.
func savedFindings(ctx context.Context, client *api.Client, members *nomadish.ServerMembers, now func() time.Time) (all []finding) {
	for _, m := range members.Members {
		id := m.Tags["id"]
		if m.Status != "alive" || id == "" || m.Tags["region"] != members.ServerRegion {
			continue
		}
		saved, err := client.Operator().SavedSnapshots(ctx, &api.Query{Params: map[string]string{"server_id": id}})
		switch {
		case err != nil:
			all = append(all, warning("", "it can't be asked: %v", err).of("snapshots of "+m.Name))
		case saved.Dir != "":
			all = append(all, savedFinding(saved, now()).of("snapshots of "+m.Name))
		}
	}
	return all
}

// savedFinding judges the files in which a server saves the state by itself.
func savedFinding(saved *nomadish.SavedSnapshots, now time.Time) finding {
	const next = "\"nomadish operator snapshot list\" tells more; until it works again, \"nomadish operator snapshot save\" saves the state by hand."
	if saved.LastError != "" {
		return failing(next, "%s in a row: %s", plural(saved.Failures, "failure"), saved.LastError)
	}
	if len(saved.Snapshots) == 0 {
		return warning("The first one is made soon after a server's start.", "none in %s yet", saved.Dir)
	}
	age := now.Sub(saved.Snapshots[0].Created).Round(time.Second)
	if age > 2*time.Duration(saved.Interval) {
		return warning(next, "the newest in %s is %s old, and should be %s at most", saved.Dir, age, time.Duration(saved.Interval))
	}
	return ok("%s in %s, the newest %s old", plural(len(saved.Snapshots), "file"), saved.Dir, age)
}
