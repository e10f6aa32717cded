// Package kubeproxy pins the proxy of a cluster's services. It is apart from the programs of a node: what changes here does
// not have the kubelet built anew.
package kubeproxy

import (
	_ "k8s.io/kubernetes/cmd/kube-proxy/app"
)
