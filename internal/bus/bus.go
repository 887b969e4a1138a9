package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// Config says where NATS is and how messages are kept.
type Config struct {
	URL       string // servers, separated by commas
	CredsFile string // of the user; "" for none
	TLS       *tls.Config
	Replicas  int           // of each stream
	MaxAge    time.Duration // of a message
	Timeout   time.Duration // of one request
}

// DefaultConfig is a server on this machine that keeps messages for 30 days.
func DefaultConfig() Config {
	return Config{URL: nats.DefaultURL, Replicas: 1, MaxAge: 30 * 24 * time.Hour, Timeout: 5 * time.Second}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.URL == "" {
		errs = append(errs, errors.New("nats.url: empty"))
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("nats.replicas: %d is not between 1 and 5", c.Replicas))
	}
	if c.MaxAge < time.Hour || c.Timeout <= 0 {
		errs = append(errs, errors.New("nats: messages must be kept for an hour at least, and requests need a timeout"))
	}
	return errors.Join(errs...)
}

// Bus is a connection to JetStream. Its methods may be called from any
// number of goroutines.
type Bus struct {
	cfg  Config
	log  zerolog.Logger
	conn *nats.Conn
	js   jetstream.JetStream
}

// Open prepares a bus. It does not wait for the server: one that is away is
// tried for ever in the background, which Connected shows.
func Open(cfg Config, log zerolog.Logger) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("opening the bus: %w", err)
	}
	options := []nats.Option{
		nats.Name("modelwatch"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		// A publish during an outage must fail and be tried again from the
		// journal, not wait in a buffer that dies with the process.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("NATS is away")
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info().Msg("NATS is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn().Err(err).Msg("NATS") }),
	}
	if cfg.CredsFile != "" {
		options = append(options, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.TLS != nil {
		options = append(options, nats.Secure(cfg.TLS))
	}
	conn, err := nats.Connect(cfg.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("opening the bus: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("opening the bus: %w", err)
	}
	return &Bus{cfg: cfg, log: log, conn: conn, js: js}, nil
}

// Connected says whether the server answers.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// Close closes the connection. What was not acknowledged is not lost: it
// stays in the outbox.
func (b *Bus) Close() error {
	b.conn.Close()
	return nil
}

// stream is a stream of ours with the subjects it holds.
type stream struct {
	name     string
	subjects []string
}

var streams = [...]stream{
	{schemas.StreamAlerts, []string{schemas.SubjectAlerts + ".>"}},
	{schemas.StreamRetrain, []string{schemas.SubjectRetrain + ".>", schemas.SubjectRetrainStatus + ".>"}},
	{schemas.StreamFallback, []string{schemas.SubjectFallback + ".>"}},
}

// EnsureStreams makes the streams that are missing. Limits retention keeps a
// message whether or not anybody listens; an existing stream keeps what its
// owner has set, as long as it holds our subjects.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	window := 2 * time.Minute
	if faultpoint.Broken(faultpoint.DedupByTime) {
		window = time.Second
	}
	for _, s := range streams {
		_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: s.name, Subjects: s.subjects, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
			MaxAge: b.cfg.MaxAge, Duplicates: window, Replicas: b.cfg.Replicas,
		})
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("making stream %s: %w", s.name, err)
		}
	}
	return nil
}

// created returns when a stream was created.
func (b *Bus) created(ctx context.Context, name string) (time.Time, error) {
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return time.Time{}, fmt.Errorf("looking at stream %s: %w", name, err)
	}
	return s.CachedInfo().Created, nil
}

// ErrRefused marks an error of a message that the server will never take, such
// as one over its size limit. Everything else may be tried again.
var ErrRefused = errors.New("the server refuses this message")

// tooLarge is JetStream's error for a message over the stream's own limit.
const tooLarge jetstream.ErrorCode = 10054

// Publish stores a message and says whether this call did it: false means
// that it was stored already. An error that is not ErrRefused leaves it open
// whether it is stored; publishing again is safe.
func (b *Bus) Publish(ctx context.Context, m schemas.Message) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	msg := &nats.Msg{Subject: m.Subject, Data: m.Body, Header: nats.Header{}}
	for k, v := range m.Headers {
		msg.Header[k] = []string{v}
	}
	options := []jetstream.PublishOpt{jetstream.WithMsgID(m.ID), jetstream.WithExpectStream(m.Stream)}
	if !faultpoint.Broken(faultpoint.DedupByTime) {
		options = append(options, jetstream.WithExpectLastSequencePerSubject(0))
	}
	ack, err := b.js.PublishMsg(ctx, msg, options...)
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		switch refused.ErrorCode {
		// The subject has a message where none was expected; streams with
		// replicas may say so by an error of their own.
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return false, nil
		case tooLarge:
			return false, fmt.Errorf("publishing %s (%d bytes): %w: %w", m.Subject, len(m.Body), ErrRefused, err)
		}
	}
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return false, fmt.Errorf("publishing %s (%d bytes): %w: %w", m.Subject, len(m.Body), ErrRefused, err)
	}
	if err != nil {
		return false, fmt.Errorf("publishing %s: %w", m.Subject, err)
	}
	return !ack.Duplicate, nil
}
