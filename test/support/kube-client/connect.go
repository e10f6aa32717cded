package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Where to go, and how.
type target struct {
	url       string
	transport string
	ca        string
}

func (to *target) flags(of *flag.FlagSet) {
	of.StringVar(&to.url, "url", "", "as the RPC has answered")
	of.StringVar(&to.transport, "transport", "spdy", "spdy, websocket or tunnel, fallback")
	of.StringVar(&to.ca, "ca", "", "certificate that the server's is signed with")
}

func (to target) config() *rest.Config {
	return &rest.Config{Host: to.url, TLSClientConfig: rest.TLSClientConfig{CAFile: to.ca}}
}

// As in kubectl.
func shouldFallBack(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

func (to target) executor(protocols []string) (remotecommand.Executor, error) {
	parsed, err := url.Parse(to.url)
	if err != nil {
		return nil, err
	}
	overSpdy := func() (remotecommand.Executor, error) {
		if len(protocols) == 0 {
			return remotecommand.NewSPDYExecutor(to.config(), http.MethodPost, parsed)
		}
		transport, upgrader, err := spdy.RoundTripperFor(to.config())
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, http.MethodPost, parsed, protocols...)
	}
	overWebSocket := func() (remotecommand.Executor, error) {
		if len(protocols) == 0 {
			return remotecommand.NewWebSocketExecutor(to.config(), http.MethodGet, to.url)
		}
		return remotecommand.NewWebSocketExecutorForProtocols(to.config(), http.MethodGet, to.url, protocols...)
	}
	switch to.transport {
	case "spdy":
		return overSpdy()
	case "websocket":
		return overWebSocket()
	case "fallback":
		first, err := overWebSocket()
		if err != nil {
			return nil, err
		}
		second, err := overSpdy()
		if err != nil {
			return nil, err
		}
		return remotecommand.NewFallbackExecutor(first, second, shouldFallBack)
	}
	return nil, fmt.Errorf("no transport %q for commands", to.transport)
}

func (to target) dialer() (httpstream.Dialer, error) {
	parsed, err := url.Parse(to.url)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(to.config())
	if err != nil {
		return nil, err
	}
	overSpdy := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, parsed)
	if to.transport == "spdy" {
		return overSpdy, nil
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(parsed, to.config())
	switch {
	case err != nil:
		return nil, err
	case to.transport == "tunnel":
		return tunnel, nil
	case to.transport == "fallback":
		return portforward.NewFallbackDialerForStreaming(tunnel, overSpdy, shouldFallBack), nil
	}
	return nil, fmt.Errorf("no transport %q for ports", to.transport)
}
