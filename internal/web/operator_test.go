package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/web"
)

const operatorSecret = "of-operators-0123456789"

func TestOperatorsMayChange_ReadersMayNot(t *testing.T) {
	cfg := here()
	cfg.Token, cfg.Operator = secret, operatorSecret
	addr := start(t, cfg, deps(airport()))
	shows := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	for _, path := range []string{"/", "/api/v1/incidents", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
			does := func(r *http.Request) { r.Method = method }
			get(t, addr+path, does).says(t, 401, "A token is needed.")
			get(t, addr+path, does, shows(secret+operatorSecret)).says(t, 401, "A token is needed.")
			get(t, addr+path, does, shows(secret)).says(t, 403, "You may read here and change nothing.", "http.operator_token_file")
			get(t, addr+path, does, shows(operatorSecret)).says(t, 405)
			get(t, addr+path, does, func(r *http.Request) { r.SetBasicAuth("x", operatorSecret) }).says(t, 405)
		}
	}
	for _, token := range []string{secret, operatorSecret} {
		get(t, addr+"/api/v1/models", shows(token)).says(t, 200)
	}
}

// TestAnotherSiteChangesNothing sends what a browser sends for the page of
// another site, with the password that it remembers.
func TestAnotherSiteChangesNothing(t *testing.T) {
	cfg := here()
	cfg.Operator = operatorSecret
	for _, addr := range []string{start(t, cfg, deps(airport())), start(t, here(), deps(airport()))} {
		foreign := func(r *http.Request) {
			r.Method = "POST"
			r.SetBasicAuth("", operatorSecret)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		}
		get(t, addr+"/api/v1/incidents", foreign).says(t, 403, "the page of another site")
		get(t, addr+"/api/v1/incidents", func(r *http.Request) {
			foreign(r)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}).says(t, 405)
	}
}

func TestOperatorTokenIsAnotherOne(t *testing.T) {
	for _, c := range []struct {
		change func(*web.Config)
		want   string
	}{
		{func(c *web.Config) { c.Operator = "short" }, "http.operator_token: shorter than 16"},
		{func(c *web.Config) { c.Token, c.Operator = secret, secret }, "it is that of readers"},
	} {
		cfg := here()
		c.change(&cfg)
		if _, err := web.New(cfg, deps(airport())); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	cfg := here()
	cfg.Listen, cfg.Operator = ":0", operatorSecret
	if err := cfg.Validate(); err != nil {
		t.Errorf("an operator's token guards an address: %v", err)
	}
}
