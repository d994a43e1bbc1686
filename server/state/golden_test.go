package state

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish/codec/codectest"
)

// The encoding of the rows that are no nouns stays as it is.
func TestGolden(t *testing.T) {
	codectest.Golden(t, "testdata/golden", new(meta), new(jobRef), new(request), new(submission), new(aclBootstrap))
}

// Tables keep their numbers, which are in snapshots and hashes.
func TestTableNumbers(t *testing.T) {
	want := map[string]byte{
		TableJobVersions: 1, TableJobs: 2, TableJobSummaries: 3, TableJobSubmissions: 4, TableNodes: 5,
		TableAllocations: 6, TableEvaluations: 7, TableDeployments: 8, TableNodePools: 9, TableNamespaces: 10,
		TableSchedulerConfig: 11, TableRequests: 12, TableMeta: 13, tableJobCounts: 14, tableNodeWork: 59, TableIdentityKeys: 15,
		TableScalingEvents: 16, TableRootKeys: 30, TableVariables: 32,
		TableACLPolicies: 20, TableACLRoles: 21, TableACLTokens: 22, TableOneTimeTokens: 23, TableACLAuthMethods: 24,
		TableACLBindingRules: 25, TableACLBootstrap: 26, TableQuotas: 27, TableAutopilot: 40,
		TableAuthorities: 50, TableJoinTokens: 51, TableCertifiedAgents: 52, TableRecoveryKey: 53, TableRevokedCertificates: 54,
	}
	if len(tableList) != len(want) {
		t.Errorf("%d tables, want %d", len(tableList), len(want))
	}
	for _, table := range tableList {
		if got := table.tableNumber(); got != want[table.tableName()] {
			t.Errorf("table %s has number %d, want %d", table.tableName(), got, want[table.tableName()])
		}
	}
}
