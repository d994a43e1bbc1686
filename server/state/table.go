package state

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish/codec"
)

// Names of the tables, for TableIndex and Change.
const (
	TableJobs            = "jobs"
	TableJobVersions     = "job_versions"
	TableJobSummaries    = "job_summaries"
	TableJobSubmissions  = "job_submissions"
	TableNodes           = "nodes"
	TableAllocations     = "allocations"
	TableEvaluations     = "evaluations"
	TableDeployments     = "deployments"
	TableNodePools       = "node_pools"
	TableNamespaces      = "namespaces"
	TableSchedulerConfig = "scheduler_config"
	TableIdentityKeys    = "identity_keys"
	TableScalingEvents   = "scaling_events"
	TableRootKeys        = "root_keys"
	TableACLPolicies     = "acl_policies"
	TableACLRoles        = "acl_roles"
	TableACLTokens       = "acl_tokens"
	TableOneTimeTokens   = "acl_one_time_tokens"
	TableACLAuthMethods  = "acl_auth_methods"
	TableACLBindingRules = "acl_binding_rules"
	TableACLBootstrap    = "acl_bootstrap"
	TableQuotas          = "quotas"
	TableVariables       = "variables"
	TableRequests        = "requests"
	TableMeta            = "meta"

	tableJobCounts = "job_counts"
	tableNodeWork  = "node_work"
)

// Names of the indexes.
const (
	indexID    = "id" // memdb wants this name for the primary one
	indexJob   = "job"
	indexNode  = "node"
	indexTime  = "time"
	indexName  = "name"
	indexHash  = "hash"
	withPrefix = "_prefix" // memdb's suffix for "keys that start with"
)

// record is a row's value: a struct T whose pointer has codec methods.
type record[T any] interface {
	*T
	codec.Appender
	codec.Decoder
}

// table is what the store knows of one kind of row. The tables are listed in tables().
type table[T any] struct {
	name    string
	number  byte // in snapshots, hashes and the table indexes; given once, for ever
	derived bool // computed from other tables: neither hashed nor in snapshots
	target  bool // rows of later tables refer to rows of this one when they are restored
	key     func(v *T) ([]byte, error)
	indexes map[string]func(v *T) ([]byte, error) // besides the primary one; keys have a fixed length
	encode  func(b []byte, v *T) []byte
	decode  func(r Reader, b []byte) (*T, error) // r sees the tables restored before this one
}

// newTable returns a table whose rows are encoded as they are.
func newTable[T any, P record[T]](number byte, name string, key func(v *T) ([]byte, error)) *table[T] {
	return &table[T]{
		name:   name,
		number: number,
		key:    key,
		encode: func(b []byte, v *T) []byte { return P(v).AppendCodec(b) },
		decode: func(_ Reader, b []byte) (*T, error) {
			v := new(T)
			return v, codec.UnmarshalTrusted(b, P(v))
		},
	}
}

// by gives the table another index. Its keys have a fixed length; a row without one is not in it.
func (t *table[T]) by(index string, key func(v *T) ([]byte, error)) *table[T] {
	if t.indexes == nil {
		t.indexes = map[string]func(*T) ([]byte, error){}
	}
	t.indexes[index] = key
	return t
}

// row is what memdb holds: a value, its primary key, which memdb asks for again and again, and its part
// of the state hash.
type row[T any] struct {
	value *T
	id    []byte
	sum   sum
}

// anyTable is a table of whatever type.
type anyTable interface {
	tableName() string
	tableNumber() byte
	isDerived() bool
	schema() *memdb.TableSchema
	value(row any) any                     // the row's value, or nil when row is nil
	rowSum(row any) sum                    // its part of the state hash
	load(txn *Txn, b []byte) error         // stores the row that b encodes
	rows(r Reader) func(func([]byte) bool) // all rows, encoded, in the order of their keys
}

func (t *table[T]) tableName() string { return t.name }
func (t *table[T]) tableNumber() byte { return t.number }
func (t *table[T]) isDerived() bool   { return t.derived }

func (t *table[T]) schema() *memdb.TableSchema {
	s := &memdb.TableSchema{Name: t.name, Indexes: map[string]*memdb.IndexSchema{
		indexID: {Name: indexID, Unique: true, Indexer: indexer[T]{}},
	}}
	for name, key := range t.indexes {
		s.Indexes[name] = &memdb.IndexSchema{Name: name, AllowMissing: true, Indexer: indexer[T]{key}}
	}
	return s
}

func (t *table[T]) value(r any) any {
	if r == nil {
		return nil
	}
	return r.(*row[T]).value
}

func (t *table[T]) rowSum(r any) sum {
	if r == nil || t.derived {
		return sum{}
	}
	return r.(*row[T]).sum
}

func (t *table[T]) load(txn *Txn, b []byte) error {
	v, err := t.decode(txn.reader(), b)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	key, err := t.key(v)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	r := &row[T]{value: v, id: key}
	if m, ok := any(v).(*meta); ok {
		txn.meta = *m
	} else {
		r.sum, txn.buf = hashRow(txn.buf, t, key, v)
		txn.sum = txn.sum.add(r.sum)
	}
	if t.target {
		txn.touched[rowName(t.number, key)] = r
	}
	return txn.txn.Insert(t.name, r)
}

func (t *table[T]) rows(r Reader) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		var b []byte
		for v := range list(r, nil, t, indexID+withPrefix, nil) {
			b = t.encode(b[:0], v)
			if !yield(b) {
				return
			}
		}
	}
}

// indexer makes memdb's keys without reflection. Its arguments are keys that are made already.
type indexer[T any] struct {
	key func(v *T) ([]byte, error) // nil: the primary key
}

// FromObject implements memdb.SingleIndexer.
func (x indexer[T]) FromObject(raw any) (bool, []byte, error) {
	r := raw.(*row[T])
	if x.key == nil {
		return true, r.id, nil
	}
	key, err := x.key(r.value)
	return key != nil, key, err
}

// FromArgs implements memdb.Indexer.
func (x indexer[T]) FromArgs(args ...any) ([]byte, error) {
	key, ok := args[0].([]byte)
	if len(args) != 1 || !ok {
		return nil, fmt.Errorf("want one key, got %d arguments", len(args))
	}
	return key, nil
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (x indexer[T]) PrefixFromArgs(args ...any) ([]byte, error) { return x.FromArgs(args...) }

// tables lists every table. One that refers to another comes after it.
func tables() []anyTable {
	return []anyTable{
		jobVersions, jobs, jobSummaries, jobSubmissions, nodes, allocations, evaluations,
		deployments, nodePools, namespaces, schedulerConfigs, requests, metas, jobCountsTable, nodeWorks,
		identityKeys, scalingEvents, rootKeys, variables, autopilots,
		aclPolicies, aclRoles, aclTokens, oneTimeTokens, aclAuthMethods, aclBindingRules, aclBootstraps, quotas,
		authorities, joinTokens, certifiedAgents, recoveryKeys, revokedCertificates,
	}
}

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range tables() {
		s.Tables[t.tableName()] = t.schema()
	}
	return s
}
