// Command controllers runs the one controller of kube-controller-manager that the tests need, as it does, without the
// minutes that building all of it takes: the namespace controller, which empties a deleted namespace.
package main

import (
	"context"
	"flag"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// What kube-controller-manager has by default.
const (
	qps     = 20 * 20
	burst   = 30 * 100
	resync  = 5 * time.Minute
	workers = 10
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the `FILE` that says how to reach the cluster")
	flag.Parse()
	if err := run(context.Background(), *kubeconfig); err != nil {
		klog.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = qps
	config.Burst = burst
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, resync)
	controller := namespace.NewNamespaceController(ctx, client, metadataClient,
		client.Discovery().ServerPreferredNamespacedResources, factory.Core().V1().Namespaces(), resync,
		v1.FinalizerKubernetes)
	factory.Start(ctx.Done())
	controller.Run(ctx, workers)
	return nil
}
