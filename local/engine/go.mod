// The Pulumi engine, built from its Go modules where no `pulumi` is installed and its vendor cannot be reached.
// go.sum pins every module that the build reads; `-mod=readonly` refuses anything else (see build.py).
module parley.local/engine

go 1.25.11

require (
	github.com/pulumi/pulumi/pkg/v3 v3.259.0
	github.com/pulumi/pulumi/sdk/v3 v3.259.0
)

// The engine's own replacement (its pkg/go.mod), which a module that requires it has to repeat.
replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e
