package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"os"
	"syscall"
)

// What one run saw.
type result struct {
	// Of a command that ended with a code other than 0.
	ExitCode int `json:"exitCode"`
	// Empty when all went well.
	Error  string  `json:"error"`
	Sent   summary `json:"sent"`
	Stdout summary `json:"stdout"`
	// Peak of this process's memory, in KiB.
	PeakRssKiB int64 `json:"peakRssKiB"`
}

func (told result) tell(to *os.File) error {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	told.PeakRssKiB = usage.Maxrss
	return json.NewEncoder(to).Encode(told)
}

// Of bytes that nobody keeps.
type summary struct {
	Bytes  int64  `json:"bytes"`
	Sha256 string `json:"sha256"`
}

type digest struct {
	hash  hash.Hash
	bytes int64
}

func newDigest() *digest {
	return &digest{hash: sha256.New()}
}

func (sum *digest) Write(bytes []byte) (int, error) {
	sum.bytes += int64(len(bytes))
	return sum.hash.Write(bytes)
}

func (sum *digest) summary() summary {
	return summary{Bytes: sum.bytes, Sha256: hex.EncodeToString(sum.hash.Sum(nil))}
}

var _ io.Writer = &digest{}
