package schemas

import "testing"

func TestPrivacy(t *testing.T) {
	monitors := []*Monitor{
		{Model: "loan", Topics: []string{"loans", "shared"}, Features: map[string]Feature{"ssn": {Sensitive: true}, "amount": {}}},
		{Model: "open", Topics: []string{"shared", "open"}, Features: map[string]Feature{"ssn": {}}},
	}
	if p := NewPrivacy(nil, monitors[1:]); p != nil {
		t.Errorf("no monitor has a sensitive feature: %+v", p)
	}
	p := NewPrivacy([]byte("key"), monitors)
	f := func(got, want bool, what string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	f(p.Sensitive("loan", "ssn"), true, "the sensitive feature")
	f(p.Sensitive("loan", "amount"), false, "another feature")
	f(p.Sensitive("open", "ssn"), false, "a feature of its name in another model")
	f(p.Withheld("open", "loan"), true, "an event of the model on any topic")
	f(p.Withheld("shared", ""), true, "an event of no model on a topic of the model")
	f(p.Withheld("open", "open"), false, "an event of another model elsewhere")
	f((*Privacy)(nil).Withheld("shared", "loan"), false, "an event where nothing is sensitive")
}

func TestPrivacy_Hide(t *testing.T) {
	monitors := []*Monitor{{Model: "m", Features: map[string]Feature{"a": {Sensitive: true}}}}
	one, other, none := NewPrivacy([]byte("one"), monitors), NewPrivacy([]byte("other"), monitors), NewPrivacy(nil, monitors)
	a := one.Hide("a", "41")
	if a != one.Hide("a", "41") {
		t.Error("equal values are not equal when they are hidden")
	}
	for _, b := range []string{one.Hide("a", "42"), one.Hide("b", "41"), other.Hide("a", "41"), none.Hide("a", "41")} {
		if a == b {
			t.Errorf("%s stands for another value, feature or key", b)
		}
	}
	for _, text := range []string{a, none.Hide("a", "41")} {
		if !IsHidden(text) {
			t.Errorf("%q is not hidden", text)
		}
	}
	if one.Hide("a", "") != "" || none.Hide("a", "") != "" {
		t.Error("no value is hidden")
	}
	for _, text := range []string{"", "41", "hmac:", "hmac:41", "hmac:0123456789abcdeg", "hiddens"} {
		if IsHidden(text) {
			t.Errorf("%q is hidden", text)
		}
	}
	// By OpenSSL 3.5: printf 'a\00041' | openssl dgst -sha256 -hmac one. It must stay, people compare them over years.
	if a != "hmac:57cc8d42019ba0e1" {
		t.Errorf("the hash is %s", a)
	}
}
