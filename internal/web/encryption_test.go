package web_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// TestPagesOverTLS reads pages as a client that trusts one authority: with the
// right certificate, and with those that it must refuse.
func TestPagesOverTLS(t *testing.T) {
	ca := testkit.Authority(t)
	ask := func(by *testkit.CertAuthority, options testkit.CertOptions) (int, error) {
		t.Helper()
		cfg := here()
		cfg.Token = secret
		_, cfg.TLSCert, cfg.TLSKey = by.Files(t, options)
		addr := start(t, cfg, deps(airport()))
		if !strings.HasPrefix(addr, "https://") {
			t.Errorf("pages at %s", addr)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}, DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, addr+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("", secret)
		got, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		return got.StatusCode, got.Body.Close()
	}
	if status, err := ask(ca, testkit.CertOptions{}); err != nil || status != 200 {
		t.Errorf("the right certificate: %d, %v", status, err)
	}
	f := func(by *testkit.CertAuthority, options testkit.CertOptions, want string) {
		t.Helper()
		if _, err := ask(by, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", options, err, want)
		}
	}
	f(ca, testkit.CertOptions{Expired: true}, "certificate has expired")
	f(ca, testkit.CertOptions{Host: "elsewhere.example"}, "cannot validate certificate for 127.0.0.1")
	f(testkit.Authority(t), testkit.CertOptions{}, "unknown authority")
}
