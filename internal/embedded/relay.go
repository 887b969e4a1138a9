package embedded

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/ClickHouse/ch-go/proto"
)

// relay stands between clients and one port of the engine, and hides from it
// how connections end. The engine as a library has no handler for a connection
// that is reset while it reads: the exception ends the whole process. A client
// that is killed, or drops a query whose answer has begun, leaves just that
// behind; the engine gets an orderly end from here instead. So does it of a
// client that speaks something else than the native protocol, and it does not
// hear of one whose name and password are wrong: that ends the process too.
type relay struct {
	listener net.Listener
	may      func(*proto.ClientHello) error // whether the engine lets a client of the native protocol in; nil for HTTP
	engine   string
	mu       sync.Mutex
	open     map[net.Conn]struct{} // both sides of every connection; nil once closed
	running  sync.WaitGroup
}

// listenRelay listens on a port of loopback, 0 for a free one. may says
// whether the engine lets a client of the native protocol in, nil for HTTP.
func listenRelay(port int, may func(*proto.ClientHello) error) (*relay, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on its port: %w: choose another one, or 0 for any", err)
	}
	return &relay{listener: listener, may: may, open: map[net.Conn]struct{}{}}, nil
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
	from := io.Reader(client)
	if r.may != nil {
		var said bytes.Buffer
		if !r.letIn(client, io.TeeReader(io.LimitReader(client, maxHello), &said)) {
			return
		}
		from = io.MultiReader(&said, client)
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

// maxHello bounds the first words of a client, in bytes.
const maxHello = 16 << 10

// letIn reads a client's first words, asks the engine whether that user may
// come in, by HTTP, where a refusal does no harm, and answers one who may not.
func (r *relay) letIn(client io.Writer, words io.Reader) bool {
	in := proto.NewReader(words)
	code, err := in.ReadByte()
	if err != nil || proto.ClientCode(code) != proto.ClientCodeHello {
		return false // a handshake of TLS or HTTP
	}
	var hello proto.ClientHello
	if err := hello.Decode(in); err != nil {
		return false
	}
	err = r.may(&hello)
	if err == nil {
		return true
	}
	var out proto.Buffer
	proto.ServerCodeException.Encode(&out)
	refused := proto.Exception{Code: proto.ErrAuthenticationFailed, Name: "DB::Exception", Message: err.Error()}
	refused.EncodeAware(&out, hello.ProtocolVersion)
	_, _ = client.Write(out.Buf) // it may be gone
	return false
}

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
