package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// policy is the Content-Security-Policy of every answer. Its consequence for
// the templates: no style attribute, no script in the page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers sets what every answer says of itself.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // pages hold data of the models
		next.ServeHTTP(w, r)
	})
}

// access lets through who may read.
type access struct {
	open  bool // neither token nor client certificates are configured
	token [sha256.Size]byte
	set   bool // a token is configured
}

func newAccess(cfg Config, token string) access {
	return access{open: !cfg.guarded(), token: sha256.Sum256([]byte(token)), set: token != ""}
}

// guard answers 401 in place of next to whoever shows neither a client
// certificate nor the token, as bearer or, for browsers, as the password of
// any user. Without both configured it serves only requests that name this
// machine: a page of another site could else reach us through a name of its
// own that resolves to 127.0.0.1.
func (a access) guard(next http.Handler, refuse func(w http.ResponseWriter, r *http.Request, status int, what, hint string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.open && !thisMachine(r.Host):
			refuse(w, r, http.StatusForbidden, "This address is served to this machine only.",
				"Open it as 127.0.0.1 or localhost, or set http.token_file to serve other names.")
		case a.open || a.certified(r) || a.knows(r):
			next.ServeHTTP(w, r)
		default:
			w.Header().Add("WWW-Authenticate", `Bearer realm="modelwatch"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="modelwatch", charset="UTF-8"`)
			refuse(w, r, http.StatusUnauthorized, "A token is needed.",
				"Send it as Authorization: Bearer, or enter it as the password with any user name.")
		}
	})
}

func (a access) certified(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

func (a access) knows(r *http.Request) bool {
	if !a.set {
		return false
	}
	given, ok := bearer(r)
	if !ok {
		if _, given, ok = r.BasicAuth(); !ok {
			return false
		}
	}
	// Of sums, so that the time does not tell the length either.
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// thisMachine says whether a Host header names this machine and no other.
func thisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return loopback(strings.Trim(host, "[]"))
}
