package testkit

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// FaultProxy passes TCP connections on to a server and breaks them on demand.
type FaultProxy struct {
	listener net.Listener
	target   string
	delay    atomic.Int64
	refuse   atomic.Bool
	accepted atomic.Int64
	drop     atomic.Pointer[drop]

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
	loops  sync.WaitGroup
}

// drop is one armed DropAfterRequest.
type drop struct {
	once sync.Once
	done chan struct{}
}

// pair is one client's connection and ours to the server.
type pair struct {
	client, server net.Conn
	asked          atomic.Pointer[drop] // the drop this connection's request has taken
}

// Proxy starts a proxy before the server at target, ended with the test.
func Proxy(tb testing.TB, target string) *FaultProxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &FaultProxy{listener: l, target: target, pairs: map[*pair]struct{}{}}
	p.loops.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is where clients connect.
func (p *FaultProxy) Addr() string { return p.listener.Addr().String() }

// Accepted counts the connections that were passed on.
func (p *FaultProxy) Accepted() int { return int(p.accepted.Load()) }

// SetDelay holds back everything read, in either direction, for d.
func (p *FaultProxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// Refuse makes new connections end at once, until called with false. Those
// that are open stay: see Cut.
func (p *FaultProxy) Refuse(on bool) { p.refuse.Store(on) }

// Cut resets all open connections and returns how many there were.
func (p *FaultProxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.pairs)
	for pr := range p.pairs {
		pr.reset()
	}
	return n
}

// DropAfterRequest lets the next request reach the server, and resets its
// connection when the answer comes: the server has done the work and the
// client cannot know. The channel is closed when that has happened.
func (p *FaultProxy) DropAfterRequest() <-chan struct{} {
	d := &drop{done: make(chan struct{})}
	p.drop.Store(d)
	return d.done
}

func (p *FaultProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			reset(client)
			continue
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			reset(client)
			continue
		}
		pr := &pair{client: client, server: server}
		if !p.add(pr) {
			pr.reset()
			return
		}
		p.accepted.Add(1)
	}
}

// add starts to pass a pair on, unless the proxy is closed.
func (p *FaultProxy) add(pr *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.pairs[pr] = struct{}{}
	var both sync.WaitGroup
	both.Go(func() { p.requests(pr) })
	both.Go(func() { p.answers(pr) })
	p.loops.Go(func() {
		both.Wait()
		p.mu.Lock()
		delete(p.pairs, pr)
		p.mu.Unlock()
		_ = pr.client.Close()
		_ = pr.server.Close()
	})
	return true
}

func (p *FaultProxy) requests(pr *pair) {
	p.pass(pr.server, pr.client, func() bool {
		if d := p.drop.Swap(nil); d != nil {
			pr.asked.Store(d)
		}
		return true
	})
}

func (p *FaultProxy) answers(pr *pair) {
	p.pass(pr.client, pr.server, func() bool {
		d := pr.asked.Load()
		if d == nil {
			return true
		}
		pr.reset()
		d.once.Do(func() { close(d.done) })
		return false
	})
}

// pass copies until either end is gone, and tells the other end of an orderly
// end. before is called with bytes at hand and may stop the copying.
func (p *FaultProxy) pass(to, from net.Conn, before func() bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !before() {
				return
			}
			time.Sleep(time.Duration(p.delay.Load()))
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF { //nolint:errorlint // Read returns it bare
				_ = half.CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

func (p *FaultProxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.loops.Wait()
}

func (pr *pair) reset() {
	reset(pr.client)
	reset(pr.server)
}

// reset ends a connection with RST, as a lost peer does, not with an orderly FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
