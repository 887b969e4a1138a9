package alerting

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Types of the CloudEvents about incidents: this and the transition.
const alertType = "modelwatch.alert."

// CloudEvent is the envelope of a message, CloudEvents 1.0.
type CloudEvent struct {
	ID      string
	Type    string
	Model   string
	Subject string
	Schema  string // name of the JSON Schema of the body
	Time    time.Time
}

// Headers writes the envelope in the binary mode of the NATS binding: `ce-`
// headers, percent-encoded. The time is event time, so that the same step
// always writes the same message.
func (e CloudEvent) Headers() map[string]string {
	h := map[string]string{
		"ce-specversion":     "1.0",
		"ce-id":              e.ID,
		"ce-source":          "/modelwatch/models/" + url.PathEscape(e.Model),
		"ce-type":            e.Type,
		"ce-time":            e.Time.UTC().Format(time.RFC3339Nano),
		"ce-subject":         e.Subject,
		"ce-dataschema":      "urn:modelwatch:schema:" + e.Schema,
		"ce-datacontenttype": "application/json",
		"content-type":       "application/json",
	}
	for k, v := range h {
		h[k] = percent(v)
	}
	return h
}

// percent encodes what the binding forbids in a header: all but printable
// ASCII, and '"' and '%'.
func percent(v string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		if c <= ' ' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// AlertMessage writes a transition as an entry of the outbox. Its identity is
// the incident's and the number of the message, so the same transition is
// the same message whenever and by whomever it is written.
func AlertMessage(a *schemas.Alert, at time.Time) schemas.Message {
	seq := strconv.Itoa(a.Seq)
	id := a.Incident + "." + seq
	return schemas.Message{
		ID: id, Stream: schemas.StreamAlerts, Incident: a.Incident, Seq: a.Seq,
		Subject: strings.Join([]string{
			schemas.SubjectAlerts, schemas.SubjectToken(a.Model), schemas.SubjectToken(string(a.Severity)),
			schemas.SubjectToken(a.Incident), seq,
		}, "."),
		Headers: CloudEvent{
			ID: id, Type: alertType + string(a.Transition), Model: a.Model, Subject: a.Incident, Schema: "alert", Time: at,
		}.Headers(),
		Body: Body(a),
	}
}

// Body writes a message's JSON.
func Body(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		// Only a number that is not finite or a year past 9999 could do this, and both are kept out before.
		panic("alerting: writing a message: " + err.Error())
	}
	return body
}

func (c Config) links(i *schemas.Incident) schemas.Links {
	l := schemas.Links{Runbook: c.Runbook}
	if c.PublicURL != "" {
		l.Incident = strings.TrimSuffix(c.PublicURL, "/") + "/incidents/" + url.PathEscape(i.Incident)
	}
	return l
}
