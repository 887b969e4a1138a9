package schemas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Hidden is what stands in place of a value of a sensitive feature where no
// key is set; with a key it is the hash of the value, which begins with
// HiddenPrefix.
const (
	Hidden       = "hidden"
	HiddenPrefix = "hmac:"
)

// Privacy says which values may not be shown, kept as they are, or sent on.
// It is read-only once made; nil hides nothing.
//
// It is not part of a spec: what an owner calls sensitive is hidden from that
// moment on, in rows of earlier windows too.
type Privacy struct {
	key    []byte
	models map[string]map[string]bool // sensitive features, by model
	topics map[string]bool            // that carry such a model
}

// NewPrivacy returns what the monitors ask to be hidden; nil where that is
// nothing. Equal values of features of one name have equal hashes under one
// key, whichever model, topic or replica they come by.
func NewPrivacy(key []byte, monitors []*Monitor) *Privacy {
	p := &Privacy{key: key, models: map[string]map[string]bool{}, topics: map[string]bool{}}
	for _, m := range monitors {
		for name, f := range m.Features {
			if !f.Sensitive {
				continue
			}
			if p.models[m.Model] == nil {
				p.models[m.Model] = map[string]bool{}
			}
			p.models[m.Model][name] = true
			for _, t := range m.Topics {
				p.topics[t] = true
			}
		}
	}
	if len(p.models) == 0 {
		return nil
	}
	return p
}

// Sensitive says whether values of a model's feature are hidden.
func (p *Privacy) Sensitive(model, feature string) bool { return p != nil && p.models[model][feature] }

// Model says whether a model has a sensitive feature.
func (p *Privacy) Model(model string) bool { return p != nil && len(p.models[model]) > 0 }

// Withheld says whether an event as a whole may not be kept: its bytes hold
// sensitive values, or may hold them, because its topic carries such a model.
// An event that cannot be parsed cannot be hidden field by field.
func (p *Privacy) Withheld(topic, model string) bool {
	return p != nil && (p.topics[topic] || p.Model(model))
}

// Hide returns what may be shown of a value: HMAC-SHA-256 under the key, over
// the feature's name, a zero byte and the value, cut to 64 bits, in hex behind
// HiddenPrefix. The empty value stays empty: that there is none is no secret.
func (p *Privacy) Hide(feature, value string) string {
	if value == "" || p == nil {
		return value
	}
	if len(p.key) == 0 {
		return Hidden
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(feature))
	mac.Write([]byte{0})
	mac.Write([]byte(value))
	return HiddenPrefix + hex.EncodeToString(mac.Sum(nil)[:8])
}

// IsHidden says whether a text is one that Hide returns. Rows of a time when
// the feature was not sensitive hold its values as they were.
func IsHidden(text string) bool {
	if text == Hidden {
		return true
	}
	sum, ok := strings.CutPrefix(text, HiddenPrefix)
	if !ok || len(sum) != 16 {
		return false
	}
	return strings.Trim(sum, "0123456789abcdef") == ""
}
