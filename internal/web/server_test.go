package web_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/web"
	"github.com/modelwatch/modelwatch/schemas"
)

const secret = "correct horse battery staple"

func TestNewRefusesWhatWouldBeOpen(t *testing.T) {
	f := func(cfg web.Config, want string) {
		t.Helper()
		_, err := web.New(cfg, deps(airport()))
		switch {
		case want == "" && err != nil:
			t.Errorf("%+v: %v", cfg, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%+v: %v, want it to say %q", cfg, err, want)
		}
	}
	open := "can be reached from other machines; set http.token_file to a file with a secret, or http.tls with client_ca, or listen on 127.0.0.1"
	f(web.DefaultConfig(), "")
	f(web.Config{Listen: "localhost:0"}, "")
	f(web.Config{Listen: "[::1]:0"}, "")
	f(web.Config{Listen: "0.0.0.0:8080"}, open)
	f(web.Config{Listen: ":8080"}, open)
	f(web.Config{Listen: "[::]:8080"}, open)
	f(web.Config{Listen: "localhost.example:8080"}, open)
	f(web.Config{Listen: "10.1.2.3:8080"}, open)
	f(web.Config{Listen: ":8080", Token: secret}, "")
	f(web.Config{Listen: ":8080", Token: "short"}, "shorter than 16")
	f(web.Config{Listen: "8080"}, "not host:port")
	f(web.Config{Listen: "127.0.0.1:0", Token: secret, TokenFile: "x"}, "give one of them")
	f(web.Config{Listen: ":0", TLSCert: "x", Token: secret}, "belong together")
	f(web.Config{Listen: ":0", ClientCA: "x"}, "needs cert and key")
	f(web.Config{Listen: ":0", TokenFile: filepath.Join(t.TempDir(), "absent")}, "reading http.token_file")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(web.Config{Listen: ":0", TokenFile: empty}, "fewer than 16")
}

func TestTokenIsNeeded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := here()
	cfg.TokenFile = file
	d := deps(airport())
	d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) })
	addr := start(t, cfg, d)
	paths := []string{"/", "/incidents", "/incidents/" + swapID, "/api/v1/models", "/api/v1/windows?model=x", "/api/v1/incidents", "/api/v1/incidents/" + swapID, "/metrics", "/nowhere"}
	for _, path := range paths {
		bare := get(t, addr+path)
		bare.says(t, 401, "A token is needed.")
		if got := strings.Join(bare.header.Values("WWW-Authenticate"), " "); !strings.Contains(got, "Bearer") || !strings.Contains(got, "Basic") {
			t.Errorf("%s asks for %q", path, got)
		}
		if strings.Contains(bare.body, "flight") && path != "/incidents/"+swapID {
			t.Errorf("%s tells names to strangers:\n%s", path, bare.body)
		}
		for name, change := range map[string]func(*http.Request){
			"another token":    func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret+"!") },
			"no token":         func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
			"another scheme":   func(r *http.Request) { r.Header.Set("Authorization", "Digest "+secret) },
			"another password": func(r *http.Request) { r.SetBasicAuth(secret, "x") },
		} {
			if got := get(t, addr+path, change); got.status != 401 {
				t.Errorf("%s with %s: status %d", path, name, got.status)
			}
		}
		for name, change := range map[string]func(*http.Request){
			"bearer":   func(r *http.Request) { r.Header.Set("Authorization", "bearer "+secret) },
			"password": func(r *http.Request) { r.SetBasicAuth("anybody", secret) },
		} {
			if got := get(t, addr+path, change); got.status == 401 {
				t.Errorf("%s with the token as %s: status %d", path, name, got.status)
			}
		}
	}
	get(t, addr+"/healthz").says(t, 200, "ok")
	get(t, addr+"/readyz").says(t, 200, `"ready":true`)
}

func TestOnlyThisMachineIsServedWithoutToken(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, name := range []string{"127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]"} {
		if got := get(t, addr+"/", host(name)); got.status != 200 {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
	for _, name := range []string{"evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1"} {
		got := get(t, addr+"/", host(name))
		got.says(t, 403, "set http.token_file")
		get(t, addr+"/healthz", host(name)).says(t, 200)
	}
}

func TestEveryAnswerCarriesThePolicy(t *testing.T) {
	cfg := here()
	cfg.Token = secret
	addr := start(t, cfg, deps(airport()))
	want := "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	for _, path := range []string{"/", "/incidents/" + swapID, "/api/v1/models", "/healthz", "/readyz", "/nowhere"} {
		for _, change := range []func(*http.Request){func(*http.Request) {}, func(r *http.Request) { r.SetBasicAuth("", secret) }} {
			got := get(t, addr+path, change)
			if p := got.header.Get("Content-Security-Policy"); p != want {
				t.Errorf("%s: policy %q", path, p)
			}
			if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", path, got.header)
			}
		}
	}
}

func TestReadiness(t *testing.T) {
	d := deps(airport())
	d.Ready = func() map[string]error {
		return map[string]error{"kafka": nil, "store": errors.New("reaching ClickHouse at 127.0.0.1:9000: refused")}
	}
	d.Lag = func() map[string]int64 { return map[string]int64{"flights/3": 12} }
	addr := start(t, here(), d)
	got := get(t, addr+"/readyz")
	want := `{"ready":false,"checks":{"kafka":"ok","store":"reaching ClickHouse at 127.0.0.1:9000: refused"},"lag":{"flights/3":12}}` + "\n"
	if got.status != 503 || got.body != want {
		t.Errorf("status %d, %s", got.status, got.body)
	}
	get(t, addr+"/healthz").says(t, 200)
	get(t, addr+"/").says(t, 200, "The monitor itself, store:")
}

func TestNothingCanBeChanged(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"/", "/incidents/" + swapID, "/api/v1/models", "/nowhere"} {
			got := get(t, addr+path, func(r *http.Request) { r.Method = method })
			if got.status != http.StatusMethodNotAllowed || !strings.Contains(got.header.Get("Allow"), "GET") {
				t.Errorf("%s %s: status %d, Allow %q", method, path, got.status, got.header.Get("Allow"))
			}
		}
	}
	if got := get(t, addr+"/", func(r *http.Request) { r.Method = "HEAD" }); got.status != 200 || got.body != "" {
		t.Errorf("HEAD: status %d, %d bytes", got.status, len(got.body))
	}
}

func TestAPI(t *testing.T) {
	c := airport()
	addr := start(t, here(), deps(c))

	var models struct {
		Models []struct {
			Model, State, Reason, Incident string
			Partly                         bool `json:"partly_judged"`
			Seen                           *schemas.ModelOverview
		}
	}
	decode(t, get(t, addr+"/api/v1/models"), &models)
	var states []string
	for _, m := range models.Models {
		states = append(states, m.State)
	}
	if got := strings.Join(states, " "); got != "error warn unknown unknown unknown ok ok" {
		t.Errorf("states %s", got)
	}
	if m := models.Models[0]; m.Model != "flight-delay" || m.Incident != swapID || len(m.Seen.Rows) != 48 {
		t.Errorf("first is %+v", m)
	}

	var windows struct{ Windows []schemas.WindowRow }
	decode(t, get(t, addr+"/api/v1/windows?model=flight-delay&role=feature&feature=temp&slice=*&version=v3&from=2026-11-20T00:00:00Z&to=2026-11-20T12:00:00%2B01:00&limit=7"), &windows)
	if len(windows.Windows) != 7 || windows.Windows[0].Feature != "temp" {
		t.Errorf("windows %+v", windows)
	}
	want := schemas.WindowFilter{
		Model: "flight-delay", Role: schemas.RoleFeature, AnySlice: true, Version: "v3", Histograms: true, Limit: 7,
		From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC),
	}
	got := c.asked[len(c.asked)-1]
	if len(got.Features) != 1 || got.Features[0] != "temp" || !got.To.Equal(want.To) || !got.From.Equal(want.From) {
		t.Errorf("asked for %+v", got)
	}
	got.Features, got.From, got.To, want.From, want.To = nil, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if got.Model != want.Model || got.Role != want.Role || got.AnySlice != want.AnySlice || got.Version != want.Version || got.Histograms != want.Histograms || got.Limit != want.Limit {
		t.Errorf("asked for %+v, want %+v", got, want)
	}

	var incidents struct{ Incidents []schemas.Incident }
	decode(t, get(t, addr+"/api/v1/incidents?state=firing&severity=warning"), &incidents)
	if len(incidents.Incidents) != 2 {
		t.Errorf("incidents %+v", incidents)
	}
	var one struct {
		schemas.Incident
		Transitions []schemas.TransitionRow
		Samples     []schemas.ViolationRow
	}
	decode(t, get(t, addr+"/api/v1/incidents/"+swapID), &one)
	if len(one.Samples) != 2 || one.Samples[0].Value != "31.9" || one.Samples[1].Value != "" || one.Samples[1].Reason != "" {
		t.Errorf("samples, of which the second is of a sensitive feature: %+v", one.Samples)
	}
	if one.Incident.Incident != swapID || len(one.Transitions) != 2 || one.Transitions[0].Seq != 2 || one.RunnerUp.Fault != schemas.FaultDrift {
		t.Errorf("incident %+v", one)
	}
	get(t, addr+"/api/v1/windows?model=nobody").says(t, 200, `{"windows":[]}`)
	get(t, addr+"/api/v1/incidents?model=nobody").says(t, 200, `{"incidents":[]}`)
}

func decode(t *testing.T, a answer, to any) {
	t.Helper()
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Fatalf("status %d, %s: %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	if err := json.Unmarshal([]byte(a.body), to); err != nil {
		t.Fatal(err)
	}
}

func TestAPISaysWhatIsWrong(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	f := func(path string, status int, what, hint string) {
		t.Helper()
		got := get(t, addr+path)
		var body struct{ Error, Hint string }
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Errorf("%s: %v in %s", path, err, got.body)
		}
		if got.status != status || !strings.Contains(body.Error, what) || !strings.Contains(body.Hint, hint) {
			t.Errorf("%s: status %d, %+v", path, got.status, body)
		}
	}
	f("/api/v1/windows", 400, "model is missing", "/api/v1/models")
	f("/api/v1/windows?model=x&role=features", 400, "no such role", "rows, feature")
	f("/api/v1/windows?model=x&from=yesterday", 400, "from is not a time", "RFC 3339")
	f("/api/v1/windows?model=x&to=12", 400, "to is not a time", "RFC 3339")
	f("/api/v1/windows?model=x&limit=0", 400, "limit", "1 to 5000")
	f("/api/v1/windows?model=x&limit=5001", 400, "limit", "1 to 5000")
	f("/api/v1/windows?model=x&limit=many", 400, "limit", "1 to 5000")
	f("/api/v1/windows?model=x&feture=y", 400, `"feture"`, "Did you mean feature?")
	f("/api/v1/incidents?state=open", 400, "no such state", "firing or resolved")
	f("/api/v1/incidents?severity=page", 400, "no such severity", "critical")
	f("/api/v1/incidents/flight-delay-20261120T1205-7c1f", 404, "no incident", "Nearest: "+swapID)
	f("/api/v1/nothing", 404, "no page", "/api/v1/models")
	get(t, addr+"/incidents?state=open").says(t, 400, "An incident has no such state.")
}

func TestListNarrows(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	got := get(t, addr+"/incidents?state=resolved&tz=Europe/Berlin")
	got.says(t, 200, "Incidents that are over", "bag-claim", `<input type="hidden" name="state" value="resolved">`)
	if strings.Contains(got.body, "flight-delay") {
		t.Error("an open incident is listed among those that are over")
	}
	get(t, addr+"/incidents?model="+url.QueryEscape("no such")).says(t, 200, "No open incident", "says nothing of what was not judged")
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "server", ca, caKey)
	certificate(t, dir, "client", ca, caKey)
	other, otherKey := certificate(t, dir, "other-ca", nil, nil)
	certificate(t, dir, "stranger", other, otherKey)
	cfg := here()
	cfg.TLSCert, cfg.TLSKey, cfg.ClientCA = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.pem")
	addr := start(t, cfg, deps(airport()))

	ask := func(path, who string) (int, error) {
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		setup := &tls.Config{RootCAs: roots}
		if who != "" {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, who+".pem"), filepath.Join(dir, who+".key"))
			if err != nil {
				t.Fatal(err)
			}
			// Shown whatever the server asks for, as a hostile client would.
			setup.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: setup, DisableKeepAlives: true}}
		got, err := client.Get(addr + path)
		if err != nil {
			return 0, err
		}
		return got.StatusCode, got.Body.Close()
	}
	f := func(path, who string, want int) {
		t.Helper()
		if status, err := ask(path, who); status != want || want != 0 && err != nil {
			t.Errorf("%s as %q: status %d, %v; want %d", path, who, status, err, want)
		}
	}
	f("/", "client", 200)
	f("/", "", 401)
	f("/healthz", "", 200)
	f("/", "stranger", 0) // the handshake fails
}

// certificate writes a pair of files and returns the certificate; without a
// parent it signs itself, as an authority.
func certificate(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, parentKey = form, key
	}
	der, err := x509.CreateCertificate(rand.Reader, form, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestRunSaysWhenTheAddressIsTaken(t *testing.T) {
	addr := strings.TrimPrefix(start(t, here(), deps(airport())), "http://")
	s, err := web.New(web.Config{Listen: addr}, deps(airport()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "choose another with http.listen") {
		t.Errorf("got %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Addr(gone); got != "" {
		t.Errorf("it listens on %s", got)
	}
}

// An answer under way is finished although the server is told to stop.
func TestStopFinishesAnswers(t *testing.T) {
	d := deps(airport())
	asked, release := make(chan struct{}), make(chan struct{})
	d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = w.Write([]byte("up 1\n"))
	})
	s, err := web.New(here(), d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.Addr(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-asked
	stop()
	select {
	case err := <-ended:
		t.Fatalf("it stopped in the middle of an answer: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200 OK") {
		t.Errorf("got %q, %v", line, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
