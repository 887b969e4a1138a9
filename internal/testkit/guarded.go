package testkit

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// NATSUser is a user with rights of its own; nil lists allow everything.
type NATSUser struct {
	Name, Password     string
	Publish, Subscribe []string
}

// GuardedNATS starts a NATS server with JetStream inside the test, ended with
// it: over TLS where certificate is not nil, for those users alone where there
// are any. It returns its host and port.
func GuardedNATS(tb testing.TB, certificate *tls.Certificate, users ...NATSUser) string {
	tb.Helper()
	options := &natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true,
	}
	if certificate != nil {
		options.TLS, options.TLSTimeout = true, 5
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}
	}
	for _, u := range users {
		user := &natsserver.User{Username: u.Name, Password: u.Password}
		if u.Publish != nil || u.Subscribe != nil {
			user.Permissions = &natsserver.Permissions{
				Publish:   &natsserver.SubjectPermission{Allow: u.Publish},
				Subscribe: &natsserver.SubjectPermission{Allow: u.Subscribe},
			}
		}
		options.Users = append(options.Users, user)
	}
	server, err := natsserver.NewServer(options)
	if err != nil {
		tb.Fatal(err)
	}
	go server.Start()
	tb.Cleanup(func() {
		server.Shutdown()
		server.WaitForShutdown()
	})
	if !server.ReadyForConnections(natsWait) {
		tb.Fatal("the guarded NATS does not listen")
	}
	return server.Addr().String()
}

// TLSFront listens with a certificate and passes what comes on to a server
// that speaks without encryption. It returns its address and ends with the test.
func TLSFront(tb testing.TB, server string, certificate tls.Certificate) string {
	tb.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}})
	if err != nil {
		tb.Fatal(err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]struct{}{}
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			mu.Lock()
			conns[conn] = struct{}{}
			mu.Unlock()
			open.Go(func() { pass(conn, server) })
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return listener.Addr().String()
}

// pass copies both ways until one of them ends.
func pass(conn net.Conn, server string) {
	defer conn.Close()
	if front, ok := conn.(*tls.Conn); ok && front.Handshake() != nil {
		return // a client that does not trust us
	}
	back, err := net.DialTimeout("tcp", server, 5*time.Second)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(back, conn)
		_ = back.Close()
		close(done)
	}()
	_, _ = io.Copy(conn, back)
	_ = conn.Close()
	_ = back.Close()
	<-done
}
