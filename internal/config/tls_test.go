package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/config"
)

// certificate writes a self-signed certificate and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	body, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: body})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

func TestLoad_TLS(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	path := filepath.Join(dir, "modelwatch.yaml")
	write(t, path, "kafka: {tls: {ca: cert.pem, cert: cert.pem, key: key.pem, server_name: broker}}\nhttp: {listen: 0.0.0.0:443, tls: {cert: cert.pem, key: key.pem, client_ca: cert.pem}}\nclickhouse: {tls: {}}")
	s, err := config.Load(path, nil, nothing)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Kafka.TLS.Config()
	if err != nil || c.RootCAs == nil || len(c.Certificates) != 1 || c.ServerName != "broker" {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err := s.ClickHouse.TLS.Config(); err != nil || c == nil || c.RootCAs != nil {
		t.Errorf("an empty block is the system's authorities: %+v, %v", c, err)
	}
	if c, err := s.NATS.TLS.Config(); err != nil || c != nil {
		t.Errorf("no block is no encryption: %+v, %v", c, err)
	}
	f := func(body, want string) {
		t.Helper()
		write(t, path, body)
		if _, err := config.Load(path, nil, nothing); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", body, err, want)
		}
	}
	f("kafka: {tls: {ca: key.pem}}", "no certificate in PEM form")
	f("http: {tls: {cert: key.pem, key: cert.pem}}", "reading certificate")
	f("http: {listen: 0.0.0.0:443, tls: {cert: cert.pem, key: key.pem}}", "can be reached from other machines")
}
