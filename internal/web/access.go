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

// access lets through who may read, and who may change.
type access struct {
	open     bool // neither tokens nor client certificates are configured
	reader   secret
	operator secret
}

// right is what somebody may do.
type right int

const (
	mayNothing right = iota
	mayRead
	mayChange // and read
)

func newAccess(cfg Config, token string) access {
	return access{open: !cfg.guarded(), reader: newSecret(token), operator: newSecret(cfg.Operator)}
}

// guard answers 401 in place of next to whoever shows neither a client
// certificate nor a token, as bearer or, for browsers, as the password of
// any user; and 403 to whoever may read and asks for more. Without any of them
// configured it serves only requests that name this machine: a page of another
// site could else reach us through a name of its own that resolves to 127.0.0.1.
// What changes something is refused where a browser sends it for another site.
func (a access) guard(next http.Handler, refuse func(w http.ResponseWriter, r *http.Request, status int, what, hint string)) http.Handler {
	sites := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has := a.rights(r)
		switch {
		case a.open && has == mayNothing:
			refuse(w, r, http.StatusForbidden, "This address is served to this machine only.",
				"Open it as 127.0.0.1 or localhost, or set http.token_file to serve other names.")
		case has == mayNothing:
			w.Header().Add("WWW-Authenticate", `Bearer realm="modelwatch"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="modelwatch", charset="UTF-8"`)
			refuse(w, r, http.StatusUnauthorized, "A token is needed.",
				"Send it as Authorization: Bearer, or enter it as the password with any user name.")
		case has < mayChange && !harmless(r):
			refuse(w, r, http.StatusForbidden, "You may read here and change nothing.",
				"Show the token of operators, http.operator_token_file, to change anything.")
		case !harmless(r) && sites.Check(r) != nil:
			refuse(w, r, http.StatusForbidden, "This was sent by the page of another site.",
				"Do it from a page of this address, or with a program.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// harmless says whether a request changes nothing.
func harmless(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func (a access) rights(r *http.Request) right {
	if a.open {
		if thisMachine(r.Host) {
			return mayChange
		}
		return mayNothing
	}
	given, ok := shown(r)
	sum := sha256.Sum256([]byte(given))
	// Both are compared whatever the first says, so that the time tells nothing.
	operates, knows := a.operator.is(sum), a.reader.is(sum)
	switch {
	case ok && operates:
		return mayChange
	case ok && knows, a.certified(r):
		return mayRead
	}
	return mayNothing
}

// secret is the sum of a token, so that comparing does not tell its length.
type secret struct {
	sum [sha256.Size]byte
	set bool
}

func newSecret(token string) secret { return secret{sha256.Sum256([]byte(token)), token != ""} }

// is compares in constant time.
func (s secret) is(sum [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(sum[:], s.sum[:]) == 1 && s.set
}

func (a access) certified(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}

// shown is the token that a request shows.
func shown(r *http.Request) (string, bool) {
	if token, ok := bearer(r); ok {
		return token, true
	}
	_, token, ok := r.BasicAuth()
	return token, ok
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
