package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

func command(limit context.Context, args []string) (result, error) {
	flags := flag.NewFlagSet("command", flag.ExitOnError)
	var to target
	to.flags(flags)
	protocols := flags.String("protocols", "", "comma-separated, in place of the client's own choice")
	stdin := flags.Bool("stdin", false, "hand on this process's stdin")
	stdout := flags.Bool("stdout", false, "hand on to this process's stdout")
	stderr := flags.Bool("stderr", false, "hand on to this process's stderr")
	tty := flags.Bool("tty", false, "descriptor 4 has the sizes, one WIDTHxHEIGHT a line")
	bytes := flags.Int64("pattern", -1, "send so many bytes of the pattern as stdin, in place of this process's")
	digested := flags.Bool("digest", false, "keep only the digest of stdout")
	if err := flags.Parse(args); err != nil {
		return result{}, err
	}
	executor, err := to.executor(strings.FieldsFunc(*protocols, func(at rune) bool { return at == ',' }))
	if err != nil {
		return result{}, err
	}
	sent, received := newDigest(), newDigest()
	options := remotecommand.StreamOptions{Tty: *tty}
	if *bytes >= 0 {
		options.Stdin = io.TeeReader(newPattern(*bytes), sent)
	} else if *stdin {
		options.Stdin = os.Stdin
	}
	if *digested {
		options.Stdout = received
	} else if *stdout {
		options.Stdout = os.Stdout
	}
	if *stderr {
		options.Stderr = os.Stderr
	}
	if *tty {
		options.TerminalSizeQueue = sizes{bufio.NewScanner(os.NewFile(4, "sizes"))}
	}
	err = executor.StreamWithContext(limit, options)
	told := result{Sent: sent.summary(), Stdout: received.summary()}
	var ended exec.CodeExitError
	if errors.As(err, &ended) {
		told.ExitCode = ended.Code
		return told, nil
	}
	return told, err
}

type sizes struct {
	lines *bufio.Scanner
}

func (of sizes) Next() *remotecommand.TerminalSize {
	var size remotecommand.TerminalSize
	if !of.lines.Scan() {
		return nil
	}
	if _, err := fmt.Sscanf(of.lines.Text(), "%dx%d", &size.Width, &size.Height); err != nil {
		return nil
	}
	return &size
}
