// Command kube-client is what others wrote to reach a streaming server and a container's log, for the tests: client-go's
// executors and port-forwarder, and the log reader of kubelet.
//
//	kube-client command -url URL -transport spdy|websocket|fallback [flags]   exec and attach
//	kube-client forward -url URL -transport spdy|tunnel|fallback -port PORT   prints the local port; ends with its stdin
//	kube-client logs -endpoint SOCKET -container ID -path LOG [-follow]
//
// What it saw goes to descriptor 3 as one JSON object.
package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

func main() {
	limit, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	kinds := map[string]func(context.Context, []string) (result, error){
		"command": command, "forward": forward, "logs": readLogs,
	}
	if len(os.Args) < 2 || kinds[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: kube-client command|forward|logs [flags]")
		os.Exit(2)
	}
	told, err := kinds[os.Args[1]](limit, os.Args[2:])
	if err != nil {
		told.Error = err.Error()
	}
	if err := told.tell(os.NewFile(3, "result")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
