//go:build tools

// Package containerd names the program that `bench pull` compares with, for `go mod tidy`.
package containerd

import _ "github.com/containerd/containerd/v2/cmd/containerd"
