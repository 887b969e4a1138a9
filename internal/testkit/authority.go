package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CertAuthority signs throw-away certificates for tests of TLS.
type CertAuthority struct {
	PEM  []byte         // its own certificate
	Pool *x509.CertPool // with its own certificate alone

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// CertOptions shape a certificate; the zero value is a good one for loopback.
type CertOptions struct {
	Name    string // common name; empty: "modelwatch test"
	Host    string // the only host it is for; empty: 127.0.0.1, ::1 and localhost
	Expired bool
}

// Authority makes a new authority.
func Authority(tb testing.TB) *CertAuthority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	form := certForm("modelwatch test authority", time.Now().Add(24*time.Hour))
	form.IsCA, form.BasicConstraintsValid = true, true
	form.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &CertAuthority{PEM: pemOf("CERTIFICATE", der), Pool: pool, certificate: certificate, key: key}
}

// Certificate makes a certificate that serves both ends of a connection.
func (a *CertAuthority) Certificate(tb testing.TB, options CertOptions) tls.Certificate {
	tb.Helper()
	certificate, key, err := a.issue(options)
	if err != nil {
		tb.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		tb.Fatal(err)
	}
	return pair
}

// Files writes the authority's certificate and a new certificate with its key
// as PEM files, the form in which settings name them.
func (a *CertAuthority) Files(tb testing.TB, options CertOptions) (ca, certificate, key string) {
	tb.Helper()
	certificatePEM, keyPEM, err := a.issue(options)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	return write("ca.pem", a.PEM), write("certificate.pem", certificatePEM), write("key.pem", keyPEM)
}

// server is a certificate for a server on loopback, as PEM.
func (a *CertAuthority) server() (certificate, key []byte, err error) { return a.issue(CertOptions{}) }

func (a *CertAuthority) issue(options CertOptions) (certificate, key []byte, err error) {
	name, until := options.Name, time.Now().Add(24*time.Hour)
	if name == "" {
		name = "modelwatch test"
	}
	if options.Expired {
		until = time.Now().Add(-time.Hour)
	}
	form := certForm(name, until)
	form.KeyUsage = x509.KeyUsageDigitalSignature
	form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if options.Host == "" {
		form.DNSNames = []string{"localhost"}
		form.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	} else if ip := net.ParseIP(options.Host); ip != nil {
		form.IPAddresses = []net.IP{ip}
	} else {
		form.DNSNames = []string{options.Host}
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, form, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", pkcs8), nil
}

func certForm(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     until,
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
