package main

import (
	"context"
	"flag"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/cri-client/pkg/logs"
)

func readLogs(limit context.Context, args []string) (result, error) {
	flags := flag.NewFlagSet("logs", flag.ExitOnError)
	endpoint := flags.String("endpoint", "", "the runtime's, unix:///…")
	container := flags.String("container", "", "id")
	path := flags.String("path", "", "of its log")
	follow := flags.Bool("follow", false, "read on until the container has exited")
	if err := flags.Parse(args); err != nil {
		return result{}, err
	}
	runtime, err := remote.NewRemoteRuntimeService(limit, *endpoint, 10*time.Second, noop.NewTracerProvider(), false)
	if err != nil {
		return result{}, err
	}
	received := newDigest()
	options := &logs.LogOptions{Follow: *follow}
	err = logs.ReadLogs(limit, *path, *container, options, runtime, received, os.Stderr)
	return result{Stdout: received.summary()}, err
}
