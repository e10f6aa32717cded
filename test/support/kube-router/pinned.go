//go:build tools

// Package kuberouter names kube-router for `go mod tidy`: one test has its controller of NetworkPolicies, in a network
// namespace of its own. Nothing of it is shipped.
package kuberouter

import (
	_ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
)
