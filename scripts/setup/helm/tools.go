//go:build tools

// Package helm names the program that installs the chart, for `go mod tidy`: the tests of deploy/chart have it.
package helm

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
