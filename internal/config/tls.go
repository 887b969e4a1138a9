package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// ClientTLS encrypts the way to a server. An empty block takes the system's authorities.
type ClientTLS struct {
	// PEM file of the authorities that the server's certificate is checked by; without it the system's.
	CA string `yaml:"ca,scalar"`
	// PEM file of this program's own certificate, where the server asks for one.
	Cert string `yaml:"cert,scalar"`
	// PEM file of its key.
	Key string `yaml:"key,scalar"`
	// Name on the server's certificate, where it is not that of the address.
	ServerName string `yaml:"server_name,scalar"`
}

// ServerTLS encrypts the pages and the API.
type ServerTLS struct {
	// PEM file of the certificate chain.
	Cert string `yaml:"cert,scalar" jsonschema:"required"`
	// PEM file of its key.
	Key string `yaml:"key,scalar" jsonschema:"required"`
	// PEM file of the authorities whose client certificates are let in.
	ClientCA string `yaml:"client_ca,scalar"`
}

const maxPEMBytes = 4 << 20

// Config reads the files and returns the configuration for a connection; nil for a nil t.
func (t *ClientTLS) Config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pool, err := authorities(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	pair, err := keyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func authorities(path string) (*x509.CertPool, error) {
	body, err := readBounded(path, maxPEMBytes)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(body) {
		return nil, fmt.Errorf("reading %s: no certificate in PEM form is in it", path)
	}
	return pool, nil
}

func keyPair(cert, key string) (tls.Certificate, error) {
	c, err := readBounded(cert, maxPEMBytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := readBounded(key, maxPEMBytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading certificate %s and key %s: %w", cert, key, err)
	}
	return pair, nil
}

// TLSAdvice says what to do about a connection that failed for a certificate;
// "" where it failed for anything else. block is the key of the settings that
// holds the tls block, such as kafka.tls.
func TLSAdvice(err error, block string) string {
	var (
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		plain   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is out of its time: have it renewed, and see whether the clocks agree"
	case errors.As(err, &host):
		return "the server's certificate is for another name: connect by a name that it has, or give that name as `" + block + ".server_name`"
	case errors.As(err, &unknown):
		return "nobody known here has signed the server's certificate: name the file of its authority as `" + block + ".ca`"
	case errors.As(err, &plain):
		return "the server does not speak TLS on that port: give the port that does, or take `" + block + "` away"
	}
	return ""
}
