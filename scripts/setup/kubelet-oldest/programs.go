// Package kubeletoldest pins the kubelet of the oldest Kubernetes that this runtime is used with.
package kubeletoldest

import (
	_ "k8s.io/kubernetes/cmd/kubelet/app"
)
