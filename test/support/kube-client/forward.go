package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/client-go/tools/portforward"
)

func forward(limit context.Context, args []string) (result, error) {
	flags := flag.NewFlagSet("forward", flag.ExitOnError)
	var to target
	to.flags(flags)
	port := flags.Int("port", 0, "in the pod")
	if err := flags.Parse(args); err != nil {
		return result{}, err
	}
	dialer, err := to.dialer()
	if err != nil {
		return result{}, err
	}
	ready, stop := make(chan struct{}), make(chan struct{})
	ports := []string{fmt.Sprintf("0:%d", *port)}
	forwarder, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, ports, stop, ready, io.Discard, os.Stderr)
	if err != nil {
		return result{}, err
	}
	go func() {
		<-ready
		bound, err := forwarder.GetPorts()
		if err == nil {
			fmt.Println(bound[0].Local)
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err = <-ended:
	case <-limit.Done():
		err = limit.Err()
	case <-stop:
		select {
		case err = <-ended:
		case <-time.After(10 * time.Second):
			err = fmt.Errorf("the forwarder did not end")
		}
	}
	return result{}, err
}
