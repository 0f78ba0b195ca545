package fetchtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Config says how the server limits. Its zero value limits nothing.
type Config struct {
	Rate  float64 // of /limited, requests a second; 0: no limit
	Burst int     // of its bucket, 100 by default
}

// Stats are what the server has seen.
type Stats struct {
	Requests int64 // all of them
	Refused  int64 // answered 429 by /limited
	Conns    int64 // connections accepted
	Peak     int64 // most requests at once
}

// Server is a running server.
type Server struct {
	URL string // without a slash at the end

	http     *http.Server
	served   chan error
	bucket   *bucket
	relented atomic.Bool
	broken   atomic.Bool   // /wrongrange has broken off
	quit     chan struct{} // closed when handlers are to end
	close    sync.Once
	requests atomic.Int64
	refused  atomic.Int64
	conns    atomic.Int64
	now      atomic.Int64
	peak     atomic.Int64
}

// Start serves on a loopback port.
func Start(config Config) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return Serve(l, config), nil
}

// Serve serves on a listener, which it closes in the end.
func Serve(l net.Listener, config Config) *Server {
	s := &Server{
		URL:    "http://" + l.Addr().String(),
		served: make(chan error, 1),
		quit:   make(chan struct{}),
	}
	if config.Rate > 0 {
		s.bucket = newBucket(config)
	}
	s.http = &http.Server{
		Handler:           s.count(s.routes()),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.conns.Add(1)
			}
		},
	}
	go func() { s.served <- s.http.Serve(l) }() // ended by Close
	return s
}

// Close ends the server and everything it is in the midst of.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		close(s.quit)
		err = s.http.Close()
		if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	})
	return err
}

// Relent makes /after and /date answer well from now on.
func (s *Server) Relent() { s.relented.Store(true) }

// Stats are what came so far.
func (s *Server) Stats() Stats {
	return Stats{Requests: s.requests.Load(), Refused: s.refused.Load(), Conns: s.conns.Load(), Peak: s.peak.Load()}
}

func (s *Server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		now := s.now.Add(1)
		defer s.now.Add(-1)
		for {
			peak := s.peak.Load()
			if now <= peak || s.peak.CompareAndSwap(peak, now) {
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

// bucket is a token bucket that never waits.
type bucket struct {
	mu    sync.Mutex // so that the limiter is asked in order of time
	limit *rate.Limiter
}

func newBucket(config Config) *bucket {
	burst := config.Burst
	if burst == 0 {
		burst = 100
	}
	return &bucket{limit: rate.NewLimiter(rate.Limit(config.Rate), burst)}
}

func (b *bucket) allow() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit.AllowN(time.Now(), 1)
}
