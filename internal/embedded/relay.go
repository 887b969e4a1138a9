package embedded

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// relay stands between clients and one port of the engine, and hides from it
// how connections end. The engine as a library has no handler for a connection
// that is reset while it reads: the exception ends the whole process. A client
// that is killed, or drops a query whose answer has begun, leaves just that
// behind; the engine gets an orderly end from here instead. So does it of a
// client that speaks something else than the native protocol.
type relay struct {
	listener net.Listener
	native   bool // only what begins like a client of the native protocol is passed
	engine   string
	mu       sync.Mutex
	open     map[net.Conn]struct{} // both sides of every connection; nil once closed
	running  sync.WaitGroup
}

// listenRelay listens on a port of loopback, 0 for a free one; native says
// that it is the one of the native protocol.
func listenRelay(port int, native bool) (*relay, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on its port: %w: choose another one, or 0 for any", err)
	}
	return &relay{listener: listener, native: native, open: map[net.Conn]struct{}{}}, nil
}

// addr is the host and port that clients use.
func (r *relay) addr() string { return r.listener.Addr().String() }

// serve begins to pass connections to the engine's own port.
func (r *relay) serve(engine string) {
	r.engine = engine
	r.running.Go(func() {
		for {
			client, err := r.listener.Accept()
			if err != nil {
				return // closed
			}
			r.running.Go(func() { r.pass(client) })
		}
	})
}

// pass carries one connection to its end.
func (r *relay) pass(client net.Conn) {
	defer r.forget(client)
	if !r.keep(client) {
		return
	}
	from := bufio.NewReaderSize(client, 16<<10)
	if first, err := from.Peek(1); r.native && (err != nil || first[0] != hello) {
		return // a handshake of TLS or HTTP: the engine would end for it
	}
	engine, err := net.Dial("tcp", r.engine)
	if err != nil {
		return
	}
	defer r.forget(engine)
	if !r.keep(engine) {
		return
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(engine, from) // however it ends, the engine sees an end
		finish(engine)
	}()
	if _, err := io.Copy(client, engine); err != nil {
		// Closing now, with an answer unread, would be a reset too.
		_, _ = io.Copy(io.Discard, engine)
	}
	finish(client)
	<-asked
}

// hello is the first byte of every client of the native protocol.
const hello = 0

// finish says that nothing more is sent.
func finish(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite() // it may be gone
	}
}

// keep notes a connection; false when the relay is closed.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return false
	}
	r.open[c] = struct{}{}
	return true
}

func (r *relay) forget(c net.Conn) {
	r.mu.Lock()
	delete(r.open, c)
	r.mu.Unlock()
	_ = c.Close() // what could not be sent is lost with the client
}

// close ends all connections and waits until they have ended. The engine must
// have ended before.
func (r *relay) close() {
	_ = r.listener.Close() // a second call changes nothing
	r.mu.Lock()
	for c := range r.open {
		_ = c.Close() // both sides are gone
	}
	r.open = nil
	r.mu.Unlock()
	r.running.Wait()
}
