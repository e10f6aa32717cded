package main

import (
	"io"
	"math/rand/v2"
)

// Bytes of every value but the carriage return, which a CRI log leaves out before a line feed; the same for a seed.
type pattern struct {
	source *rand.ChaCha8
}

func newPattern(bytes int64) io.Reader {
	return io.LimitReader(pattern{rand.NewChaCha8([32]byte{1})}, bytes)
}

func (p pattern) Read(into []byte) (int, error) {
	count, err := p.source.Read(into)
	for at, value := range into[:count] {
		if value == '\r' {
			into[at] = 'r'
		}
	}
	return count, err
}
