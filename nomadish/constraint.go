package nomadish

// Constraint is a condition on a node: LTarget and RTarget are values, in which node attributes
// are filled in (${attr.cpu.arch}); Operand compares them: = (also ==, is), != (not), <, <=,
// >, >=, or one of the Operand constants.
type Constraint struct {
	LTarget string `hcl:"attribute,optional"`
	RTarget string `hcl:"value,optional"`
	Operand string `hcl:"operator,optional"`
}

// Affinity prefers nodes for which the condition holds, or avoids them: Weight is -100 to
// 100, default 50.
type Affinity struct {
	LTarget string `hcl:"attribute,optional"`
	RTarget string `hcl:"value,optional"`
	Operand string `hcl:"operator,optional"`
	Weight  *int8  `hcl:"weight,optional"`
}

// Spread divides allocations over the values of an attribute, evenly or by target. Weight is 0
// to 100, against other spreads.
type Spread struct {
	Attribute    string          `hcl:"attribute,optional"`
	Weight       *int8           `hcl:"weight,optional"`
	SpreadTarget []*SpreadTarget `hcl:"target,block"`
}

// SpreadTarget is the share of allocations that one value gets.
type SpreadTarget struct {
	Value   string `hcl:",label"`
	Percent uint8  `hcl:"percent,optional"`
}
