//go:build tools

// Package containerd names the programs that benches and tests put beside this runtime, for `go mod tidy`.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
)
