//go:build tools

// Package runc names the program that tests put under containerd, for `go mod tidy`.
package runc

import _ "github.com/opencontainers/runc"
