package app_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/preflight"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// TestTLSToEveryServer connects to Kafka, ClickHouse and NATS as settings say:
// with the right certificate, and with those that must be refused.
func TestTLSToEveryServer(t *testing.T) {
	ca := testkit.Authority(t)
	good, elsewhere, expired := ca.Certificate(t, testkit.CertOptions{}), ca.Certificate(t, testkit.CertOptions{Host: "elsewhere.example"}), ca.Certificate(t, testkit.CertOptions{Expired: true})
	stranger := testkit.Authority(t).Certificate(t, testkit.CertOptions{})
	kafka := testkit.NewKafka(t, testkit.KafkaOptions{Authority: ca})
	house := testkit.ClickHouse(t)

	servers := func(kafka string, c tls.Certificate) (brokers, addr, url string) {
		return kafka, testkit.TLSFront(t, house.Addr, c), "tls://" + testkit.GuardedNATS(t, &c)
	}
	// said returns what was found of the servers, one line each.
	said := func(tls string, brokers, addr, url string) []string {
		t.Helper()
		dir := t.TempDir()
		for name, body := range map[string]string{
			"ca.pem":          string(ca.PEM),
			"modelwatch.yaml": fmt.Sprintf("kafka: {brokers: [%q], tls: %s}\nclickhouse: {addr: [%q], tls: %s}\nnats: {url: %q, tls: %s}\n", brokers, tls, addr, tls, url, tls),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := config.Load(filepath.Join(dir, "modelwatch.yaml"), nil, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		err = app.Preflight(t.Context(), *s, nil, func(f preflight.Finding) {
			out = append(out, fmt.Sprintf("%s %s: %s; %s", f.State, f.Subject, f.Message, f.Hint))
		}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	refused := func(name, want, advice string, lines []string) {
		t.Helper()
		for _, server := range []string{"kafka", "clickhouse", "nats"} {
			if !slices.ContainsFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, "error "+server+": ") && strings.Contains(l, want) && strings.Contains(l, strings.ReplaceAll(advice, "SERVER", server))
			}) {
				t.Errorf("%s, %s:\n%s", name, server, strings.Join(lines, "\n"))
			}
		}
	}

	brokers, addr, url := servers(kafka.TLSAddr, good)
	for _, tls := range []string{"{ca: ca.pem}", "{ca: ca.pem, server_name: localhost}"} {
		lines := said(tls, brokers, addr, url)
		for _, server := range []string{"kafka", "clickhouse", "nats"} {
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "ok "+server+": ") && strings.Contains(l, "answers") }) {
				t.Errorf("the right certificate, %s: %s\n%s", tls, server, strings.Join(lines, "\n"))
			}
		}
	}
	refused("an authority of nobody", "certificate signed by unknown authority", "`SERVER.tls.ca`", said("{}", brokers, addr, url))
	refused("a name the certificate has not", "certificate is valid for localhost, not broker.example", "`SERVER.tls.server_name`", said("{ca: ca.pem, server_name: broker.example}", brokers, addr, url))

	front := func(c tls.Certificate) (string, string, string) {
		return servers(testkit.TLSFront(t, kafka.Addr, c), c)
	}
	brokers, addr, url = front(elsewhere)
	refused("the certificate of another host", "cannot validate certificate for 127.0.0.1", "`SERVER.tls.server_name`", said("{ca: ca.pem}", brokers, addr, url))
	brokers, addr, url = front(expired)
	refused("an expired certificate", "certificate has expired", "have it renewed", said("{ca: ca.pem}", brokers, addr, url))
	brokers, addr, url = front(stranger)
	refused("the certificate of another authority", "certificate signed by unknown authority", "`SERVER.tls.ca`", said("{ca: ca.pem}", brokers, addr, url))

	// No certificate at all: a server that speaks without encryption is not talked to.
	lines := said("{ca: ca.pem}", kafka.Addr, house.Addr, "nats://"+testkit.GuardedNATS(t, nil))
	for _, l := range lines {
		if !strings.HasPrefix(l, "error ") {
			t.Errorf("without encryption: %s", l)
		}
	}
}
