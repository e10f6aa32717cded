// seccomp-reference prints containerd's default seccomp profile for a process with the capabilities in its arguments
// ("CAP_SYS_ADMIN"), as JSON.
package main

import (
	"encoding/json"
	"os"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	spec := &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: os.Args[1:]}},
		Linux:   &specs.Linux{},
	}
	if err := json.NewEncoder(os.Stdout).Encode(seccomp.DefaultProfile(spec)); err != nil {
		os.Exit(1)
	}
}
