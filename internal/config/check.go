package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// minTokenBytes is the least length of a token: what is shorter can be guessed.
const minTokenBytes = 16

// Validate reports everything that is wrong with the settings, as Load does
// for those of a file. It reads no file.
func (s *Settings) Validate() error {
	var p schemas.Problems
	s.check(&schemas.YAML{Kind: schemas.YAMLMap, Path: "$"}, &p)
	return p.Err()
}

func (s *Settings) check(root *schemas.YAML, p *schemas.Problems) {
	// note places a problem at its key even where the file does not have it.
	note := func(message, hint string, keys ...string) {
		at := *root.At(keys...)
		at.Path = "$." + strings.Join(keys, ".")
		p.Add(&at, message, hint)
	}
	s.checkKafka(note)
	s.checkClickHouse(note)
	s.checkNATS(note)
	s.checkHTTP(note)
	if n := len(s.HashKey.text); n > 0 && n < minTokenBytes {
		note(fmt.Sprintf("the key is shorter than %d characters", minTokenBytes), "make one with `openssl rand -hex 32`", given(s.HashKeyFile, "hash_key"))
	}
	if s.Monitors == "" {
		note("no folder of monitors is named", "", "monitors")
	}
	if s.Data == "" && (s.Kafka.Embedded || s.ClickHouse.Embedded || s.NATS.Embedded) {
		note("embedded servers need a folder", "", "data")
	}
	if s.Notify.Alertmanager != "" && s.Notify.URL != "" {
		note("`alertmanager` and `url` are both given", "keep one of them", "notify", "url")
	}
	if s.Notify.URL != "" && !webAddress(s.Notify.URL) {
		note(fmt.Sprintf("%q is not a web address", s.Notify.URL), "write it like http://alertmanager:9093", "notify", "url")
	}
	oneOf(note, s.Log.Level, []string{"debug", "info", "warn", "error"}, "log", "level")
	oneOf(note, s.Log.Format, []string{"json", "console"}, "log", "format")
	if m := s.Limits.Memory; m < 0 || m > 0 && m < 64<<20 {
		note(fmt.Sprintf("%s of memory are too few", m), "at least 64MiB, or 0 for no bound", "limits", "memory")
	}
}

type noter func(message, hint string, keys ...string)

func oneOf(note noter, value string, known []string, keys ...string) {
	if !slices.Contains(known, value) {
		note(fmt.Sprintf("`%s` is not known", value), schemas.DidYouMean(value, known), keys...)
	}
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// hostPort says what is wrong with an address, "" for nothing.
func hostPort(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Sprintf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Sprintf("%q has no port between 0 and 65535", addr)
	}
	return ""
}

func addresses(note noter, list []string, keys ...string) {
	if len(list) == 0 {
		note("no address is given", "write it like [127.0.0.1:9092]", keys...)
	}
	for _, a := range list {
		if why := hostPort(a); why != "" {
			note(why, "", keys...)
		}
	}
}

func clientTLS(note noter, t *ClientTLS, server string) {
	if t != nil && (t.Cert == "") != (t.Key == "") {
		note("`cert` and `key` belong together", "", server, "tls")
	}
}

func (s *Settings) checkKafka(note noter) {
	k := &s.Kafka
	if k.Embedded {
		if len(k.Brokers) > 0 {
			note("brokers are given for an embedded server", "remove `embedded` or `brokers`", "kafka", "brokers")
		}
		if k.TLS != nil || k.SASL != nil {
			note("an embedded server is reached on loopback only, without tls and sasl", "", "kafka")
		}
	} else {
		addresses(note, k.Brokers, "kafka", "brokers")
	}
	if k.Group == "" {
		note("the consumer group has no name", "", "kafka", "group")
	}
	oneOf(note, k.Isolation, []string{"read_committed", "read_uncommitted"}, "kafka", "isolation")
	clientTLS(note, k.TLS, "kafka")
	if a := k.SASL; a != nil {
		oneOf(note, a.Mechanism, []string{"plain", "scram-sha-256", "scram-sha-512"}, "kafka", "sasl", "mechanism")
		if a.User == "" {
			note("sasl needs a user", "", "kafka", "sasl", "user")
		}
		if a.Password.text == "" {
			note("sasl needs a password", "name its file under password_file", "kafka", "sasl", "password_file")
		}
	}
}

func (s *Settings) checkClickHouse(note noter) {
	c := &s.ClickHouse
	if c.Embedded {
		if len(c.Addr) > 0 {
			note("addresses are given for an embedded server", "remove `embedded` or `addr`", "clickhouse", "addr")
		}
		if c.TLS != nil || c.Cluster != "" {
			note("an embedded server is one engine on loopback, without tls and cluster", "", "clickhouse")
		}
	} else {
		addresses(note, c.Addr, "clickhouse", "addr")
	}
	if !identifier(c.Database) {
		note(fmt.Sprintf("%q cannot be the name of a database", c.Database), "letters, digits and _", "clickhouse", "database")
	}
	if c.Cluster != "" && strings.ContainsAny(c.Cluster, "'`\"\\ \n") {
		note(fmt.Sprintf("%q cannot be the name of a cluster", c.Cluster), "", "clickhouse", "cluster")
	}
	clientTLS(note, c.TLS, "clickhouse")
}

func identifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (s *Settings) checkNATS(note noter) {
	c := &s.NATS
	if c.Embedded {
		if c.URL != "" {
			note("an address is given for an embedded server", "remove `embedded` or `url`", "nats", "url")
		}
		if c.TLS != nil || c.CredsFile != "" || c.Replicas > 1 {
			note("an embedded server is one server on loopback, without tls, creds_file and replicas", "", "nats")
		}
	} else {
		for u := range strings.SplitSeq(c.URL, ",") {
			v, err := url.Parse(strings.TrimSpace(u))
			switch {
			case err != nil || v.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, v.Scheme):
				note("the address of the server is not valid", "write it like nats://127.0.0.1:4222", "nats", "url")
			case v.User != nil:
				note("the address holds a user", "an address is shown in logs; name a file under creds_file instead", "nats", "url")
			}
		}
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		note(fmt.Sprintf("%d replicas of a stream are not possible", c.Replicas), "1, 3 or 5", "nats", "replicas")
	}
	clientTLS(note, c.TLS, "nats")
}

func (s *Settings) checkHTTP(note noter) {
	h := &s.HTTP
	if why := hostPort(h.Listen); why != "" {
		note(why, "", "http", "listen")
	} else if !loopback(h.Listen) && h.Token.text == "" && h.OperatorToken.text == "" && (h.TLS == nil || h.TLS.ClientCA == "") {
		note(fmt.Sprintf("%s can be reached from other machines", h.Listen), "set http.token_file, or http.tls with client_ca, or listen on 127.0.0.1", "http", "listen")
	}
	for _, t := range []struct{ text, key string }{
		{h.Token.text, given(h.TokenFile, "token")}, {h.OperatorToken.text, given(h.OperatorTokenFile, "operator_token")},
	} {
		if n := len(t.text); n > 0 && n < minTokenBytes {
			note(fmt.Sprintf("the token is shorter than %d characters", minTokenBytes), "make one with `openssl rand -hex 32`", "http", t.key)
		}
	}
	if h.OperatorToken.text != "" && h.OperatorToken == h.Token {
		note("the token of operators is that of readers", "make another with `openssl rand -hex 32`", "http", given(h.OperatorTokenFile, "operator_token"))
	}
	if t := h.TLS; t != nil && (t.Cert == "" || t.Key == "") {
		note("`cert` and `key` are both needed", "", "http", "tls")
	}
}

// given is the key that a secret was given by.
func given(file, key string) string {
	if file != "" {
		return key + "_file"
	}
	return key
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
