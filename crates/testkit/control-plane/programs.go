//go:build tools

// Package programs names the programs of the control plane that the operator is tested against, so that go.mod pins
// them. scripts/setup builds them.
package programs

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "helm.sh/helm/v3/cmd/helm"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
