package nomadish

import (
	"errors"
	"time"
)

// AutopilotConfiguration says when servers count as healthy, and what becomes of those that do not.
type AutopilotConfiguration struct {
	CleanupDeadServers      bool
	LastContactThreshold    TextDuration // silence of the leader after which a server is unhealthy
	MaxTrailingLogs         uint64       // entries a healthy server may be behind
	MinQuorum               uint64       // servers that stay, dead or not
	ServerStabilizationTime TextDuration // for which a new server has to be healthy before it votes
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

// DefaultAutopilot is what holds until somebody sets something else.
func DefaultAutopilot() *AutopilotConfiguration {
	return &AutopilotConfiguration{
		CleanupDeadServers:      true,
		LastContactThreshold:    TextDuration(200 * time.Millisecond),
		MaxTrailingLogs:         250,
		ServerStabilizationTime: TextDuration(10 * time.Second),
	}
}

// Validate says all that is wrong with it.
func (c *AutopilotConfiguration) Validate() error {
	var errs []error
	if c.LastContactThreshold <= 0 {
		errs = append(errs, errors.New("LastContactThreshold: must be more than 0"))
	}
	if c.ServerStabilizationTime < 0 {
		errs = append(errs, errors.New("ServerStabilizationTime: must not be negative"))
	}
	if c.EnableRedundancyZones || c.EnableCustomUpgrades {
		errs = append(errs, errors.New("EnableRedundancyZones, EnableCustomUpgrades: are not supported"))
	}
	return errors.Join(errs...)
}

// OperatorHealthReply is the health of the servers, as the leader sees it.
type OperatorHealthReply struct {
	Healthy          bool // all of them are
	FailureTolerance int  // healthy voters that can be lost before nobody can lead
	Servers          []*ServerHealth
	Leader           string
	Voters           []string
}

// ServerHealth is the health of a server.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string // alive, or failed
	Version     string
	Leader      bool
	LastContact TextDuration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time // when Healthy last changed
}
