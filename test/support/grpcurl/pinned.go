//go:build tools

// Package pinned names what go.mod pins: grpcurl, which the tests call the agents' edge with.
package pinned

import _ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
