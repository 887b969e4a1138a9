package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/modelwatch/modelwatch/schemas"
)

// Rights is how what a user may do differs from what the bus needs.
type Rights struct {
	Missing []string // as in publish modelwatch.alerts.>
	Extra   []string // in the same form; publish > where there are no bounds
	// Partly says that the server does not list the rights of the user, so that
	// only those are known that can be tried without changing anything.
	Partly bool
}

// userInfo is where a user asks for what it may do.
const userInfo = "$SYS.REQ.USER.INFO"

// rightsWait bounds the wait for a word on one subject. A server that refuses a
// subject says so at once, and one without anybody behind it too.
const rightsWait = 2 * time.Second

// neededRights are the subjects that the bus publishes and subscribes to.
func neededRights() (publish, subscribe []string) {
	for _, s := range streams {
		publish = append(publish, s.subjects...)
		publish = append(publish, "$JS.API.STREAM.CREATE."+s.name, "$JS.API.STREAM.INFO."+s.name)
	}
	const consumer = schemas.StreamRetrain + "." + statusConsumer
	return append(publish, "$JS.API.INFO", "$JS.API.CONSUMER.CREATE."+consumer+".>", "$JS.API.CONSUMER.INFO."+consumer,
		"$JS.API.CONSUMER.MSG.NEXT."+consumer, "$JS.ACK."+consumer+".>"), []string{"_INBOX.>"}
}

// permissions are those of one direction; an empty Allow allows all.
type permissions struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// Rights asks the server what its user may do, on a connection of its own.
func (b *Bus) Rights(ctx context.Context) (Rights, error) {
	options := b.conn.Opts
	options.RetryOnFailedConnect, options.AllowReconnect = false, false
	options.DisconnectedErrCB, options.ReconnectedCB = nil, nil
	refused := make(chan error, 16)
	options.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}
	conn, err := options.Connect()
	if err != nil {
		return Rights{}, fmt.Errorf("asking NATS for rights: %w", err)
	}
	defer conn.Close()
	body, err := request(ctx, conn, refused, userInfo)
	if errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, nats.ErrNoResponders) {
		return tried(ctx, conn, refused)
	}
	if err != nil {
		return Rights{}, fmt.Errorf("asking NATS for rights: %w", err)
	}
	return readRights(body)
}

// request asks one subject; the error says where the server refused it.
func request(ctx context.Context, conn *nats.Conn, refused <-chan error, subject string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, rightsWait)
	defer cancel()
	type answer struct {
		msg *nats.Msg
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		msg, err := conn.RequestWithContext(ctx, subject, nil)
		answered <- answer{msg, err}
	}()
	select {
	case err := <-refused:
		cancel()
		<-answered
		return nil, err
	case a := <-answered:
		if a.err != nil {
			return nil, a.err
		}
		return a.msg.Data, nil
	}
}

// tried finds out by asking what changes nothing.
func tried(ctx context.Context, conn *nats.Conn, refused <-chan error) (Rights, error) {
	out := Rights{Partly: true}
	publish, _ := neededRights()
	for _, subject := range publish {
		if strings.HasSuffix(subject, ">") || !strings.Contains(subject, ".INFO") {
			continue
		}
		_, err := request(ctx, conn, refused, subject)
		switch {
		case err == nil, errors.Is(err, nats.ErrNoResponders):
		case errors.Is(err, nats.ErrPermissionViolation):
			out.Missing = append(out.Missing, "publish "+subject)
		default:
			return out, fmt.Errorf("asking NATS on %s: %w", subject, err)
		}
	}
	return out, nil
}

func readRights(body []byte) (Rights, error) {
	var answer struct {
		Data struct {
			Permissions *struct {
				Publish   *permissions `json:"publish"`
				Subscribe *permissions `json:"subscribe"`
			} `json:"permissions"`
		} `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Rights{}, fmt.Errorf("reading the rights that NATS tells: %w", err)
	}
	if answer.Error != nil {
		return Rights{}, fmt.Errorf("asking NATS for rights: %s", answer.Error.Description)
	}
	var out Rights
	publish, subscribe := neededRights()
	var has, hears *permissions
	if p := answer.Data.Permissions; p != nil {
		has, hears = p.Publish, p.Subscribe
	}
	out.compare("publish ", has, publish, append(slices.Clone(publish), userInfo))
	out.compare("subscribe ", hears, subscribe, subscribe)
	return out, nil
}

// compare notes what of need is missing in p, and what of p is beyond useful.
func (r *Rights) compare(verb string, p *permissions, need, useful []string) {
	if p == nil || len(p.Allow) == 0 {
		allowed := permissions{Allow: []string{">"}}
		if p != nil {
			allowed.Deny = p.Deny
		}
		p = &allowed
	}
	for _, n := range need {
		covers := func(a string) bool { return covers(a, n) }
		meets := func(d string) bool { return meets(d, n) }
		if !slices.ContainsFunc(p.Allow, covers) || slices.ContainsFunc(p.Deny, meets) {
			r.Missing = append(r.Missing, verb+n)
		}
	}
	for _, a := range p.Allow {
		if !slices.ContainsFunc(useful, func(u string) bool { return covers(u, a) }) {
			r.Extra = append(r.Extra, verb+a)
		}
	}
}

// covers says whether every subject that b matches is matched by a.
func covers(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i, token := range x {
		switch {
		case token == ">":
			return len(y) > i
		case i >= len(y), y[i] == ">", token != "*" && token != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}

// meets says whether some subject is matched by both.
func meets(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		switch {
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}
