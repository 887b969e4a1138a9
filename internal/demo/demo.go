package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/embedded"
)

// Options say how the demo runs. Start from DefaultOptions.
type Options struct {
	Dir     string // data of the servers and where the stream stands
	Listen  string // of the pages
	Faults  bool   // put faults in
	Once    bool   // stop at the end of the planned days and report
	Fresh   bool   // forget earlier runs
	Days    int    // of the stream with Once
	Rate    int    // events per second at the most
	Seed    uint64
	Version string
}

// DefaultOptions keeps everything in the user's cache folder.
func DefaultOptions() Options {
	dir := "modelwatch-demo"
	if cache, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(cache, "modelwatch", "demo")
	}
	return Options{Dir: dir, Listen: "127.0.0.1:8080", Faults: true, Days: 24, Rate: 20_000, Seed: 1}
}

// Report is what a run has shown; --json prints it.
type Report struct {
	FirstTrueAlert  *float64   `json:"first_true_alert_seconds"` // since the downloads; null when there was none
	Injected        []injected `json:"injected"`
	Found           []string   `json:"found"` // names of injected faults with an alert
	FalseAlerts     []string   `json:"false_alerts_titles"`
	False           int        `json:"false_alerts"`
	Alerts          int        `json:"alerts"`
	RetrainRequests int        `json:"retrain_requests"`
	Events          int64      `json:"events"`
	EventsPerSecond float64    `json:"events_per_second"`
	PeakRSSMB       float64    `json:"peak_rss_mb"` // of this process, without the engine's
	ModelAUC        float64    `json:"model_auc"`
}

// reference is how many days the model and the baseline learn from.
const reference = 28

// begin is the first day of the data.
var begin = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// place is where the stream stands, between runs.
type place struct {
	Until time.Time `json:"until"` // events before it are in Kafka
}

// Run runs the demo until ctx ends or, with Once, until its days are over.
// out is told, line by line, what happens.
func Run(ctx context.Context, o Options, out io.Writer, log zerolog.Logger) (*Report, error) {
	d := &demo{o: o, say: func(s string) { fmt.Fprintln(out, s) }, log: log, report: &Report{ModelAUC: math.NaN()}}
	if o.Fresh {
		if err := os.RemoveAll(o.Dir); err != nil {
			return nil, fmt.Errorf("forgetting earlier runs: %w", err)
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the demo's folder: %w", err)
	}
	if err := d.fetch(ctx); err != nil {
		return nil, err
	}
	d.began = time.Now()
	if err := d.learn(ctx); err != nil {
		return nil, err
	}
	if err := d.serve(ctx); err != nil && !errors.Is(err, errOver) {
		return nil, err
	}
	d.finish()
	return d.report, nil
}

// errOver ends a run with Once.
var errOver = errors.New("the days are over")

type demo struct {
	o      Options
	say    func(string)
	log    zerolog.Logger
	began  time.Time
	report *Report

	path    string
	flights *flights
	model   *model
	start   time.Time // of the stream
	faults  []injected
	alerts  *listener
	events  int64
	took    time.Duration
}

// fetch downloads what is missing.
func (d *demo) fetch(ctx context.Context) error {
	progress := func(p embedded.Progress) { d.say("  " + p.String()) }
	dir, err := embedded.DefaultEngineDir()
	if err != nil {
		return err
	}
	if _, err := embedded.FetchEngine(ctx, dir, progress); err != nil {
		return err
	}
	d.path, err = embedded.FetchNPM(ctx, dir, "vega-datasets", "3.2.1", filepath.Join("data", "flights-3m.parquet"), progress)
	return err
}

// learn trains the model and writes the monitor.
func (d *demo) learn(ctx context.Context) error {
	d.start = begin.AddDate(0, 0, reference)
	until := begin.AddDate(1, 0, 0)
	if d.o.Once {
		until = d.start.AddDate(0, 0, d.o.Days)
	}
	var err error
	if d.flights, err = loadFlights(d.path, until); err != nil {
		return err
	}
	n := d.flights.before(d.start.UnixMilli())
	d.say(fmt.Sprintf("learning from %d flights of %s to %s", n, begin.Format("2 Jan 2006"), d.start.AddDate(0, 0, -1).Format("2 Jan 2006")))
	d.model = train(d.flights, n, d.o.Seed)
	d.report.ModelAUC = d.model.auc(d.flights, n, len(d.flights.rows))
	d.say(fmt.Sprintf("the model tells late flights with an AUC of %.3f on the days after; profiling its healthy data", d.report.ModelAUC))
	if d.o.Faults {
		for _, f := range plan(d.start) {
			if f.From.Before(until) {
				d.faults = append(d.faults, f)
			}
		}
	}
	return writeMonitor(ctx, d.monitors(), &healthy{d.flights, d.model, n})
}

func (d *demo) monitors() string { return filepath.Join(d.o.Dir, "monitors") }

// serve runs servers, service, stream and subscriber.
func (d *demo) serve(ctx context.Context) (err error) {
	s := *config.Default()
	s.Data, s.Monitors, s.HTTP.Listen = filepath.Join(d.o.Dir, "data"), d.monitors(), d.o.Listen
	servers, s, err := app.StartServers(ctx, s, d.say, d.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	// Topics first: the consumer group finds them at once.
	p, err := newProducer(ctx, s.Kafka.Brokers[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	service, err := app.New(s, d.o.Version, d.log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return service.Run(ctx) })
	g.Go(func() error {
		addr := service.Addr(ctx)
		if addr == "" {
			return nil
		}
		d.say("pages: http://" + addr + "   stop with Ctrl-C; a second start goes on from here")
		if err := d.ready(ctx, service); err != nil {
			return err
		}
		return d.stream(ctx, s, service, p)
	})
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// patience is how long the service may take to start. A busy machine needs
// minutes; a service that ends is not waited for.
const patience = 10 * time.Minute

// ready waits until the service is.
func (d *demo) ready(ctx context.Context, service *app.App) error {
	began := time.Now()
	told := began
	for {
		var waits []string
		for name, err := range service.Ready() {
			if err != nil {
				waits = append(waits, name+": "+err.Error())
			}
		}
		if len(waits) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		now := time.Now()
		if now.Sub(began) > patience {
			return fmt.Errorf("waiting for the service for %s: %s: try again when this machine has less to do", patience, strings.Join(waits, "; "))
		}
		if now.Sub(told) > 15*time.Second {
			d.say("  the service is still starting: " + strings.Join(waits, "; "))
			told = now
		}
	}
}

// stream sends the days after the reference, hour by hour.
func (d *demo) stream(ctx context.Context, s config.Settings, service *app.App, p *producer) (err error) {
	if d.alerts, err = d.subscribe(ctx, s.NATS.URL); err != nil {
		return err
	}
	defer d.alerts.close()
	at, err := d.resume()
	if err != nil {
		return err
	}
	for _, f := range d.faults {
		d.say(fmt.Sprintf("will put in, from %s: %s (%s)", f.From.Format("2 Jan 15:04"), f.Says, f.Name))
	}
	events := newStream(d.flights, d.model, at, d.faults, d.o.Seed)
	end := time.UnixMilli(d.flights.rows[len(d.flights.rows)-1].at).UTC().Truncate(time.Hour).Add(time.Hour)
	began, told, toldEvents := time.Now(), time.Now(), int64(0)
	for at.Before(end) && ctx.Err() == nil {
		at = at.Add(time.Hour)
		if err := events.each(at, p.put); err != nil {
			return err
		}
		// An hour is written whole, so that a later run neither repeats nor misses a flight.
		if err := p.flush(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		if err := d.keep(at); err != nil {
			return err
		}
		d.announce(at)
		d.events, d.took = p.sent, time.Since(began)
		if now := time.Now(); now.Sub(told) >= 2*time.Second {
			d.say(fmt.Sprintf("%s   %9d events, %6.0f/s, %d not read yet", at.Format("2 Jan 2006 15:04"), p.sent, float64(p.sent-toldEvents)/now.Sub(told).Seconds(), behind(service)))
			told, toldEvents = now, p.sent
		}
		d.pace(ctx, service, p.sent, began)
	}
	if !d.o.Once {
		d.say("the flights have ended; the service goes on until Ctrl-C")
		<-ctx.Done()
		return ctx.Err()
	}
	return d.drain(ctx, service)
}

// pace keeps to the rate, and close to what has been read.
func (d *demo) pace(ctx context.Context, service *app.App, sent int64, began time.Time) {
	wait := time.Duration(float64(sent)/float64(d.o.Rate)*float64(time.Second)) - time.Since(began)
	for behind(service) > int64(2*d.o.Rate) && ctx.Err() == nil {
		wait = max(wait, 50*time.Millisecond)
		time.Sleep(50 * time.Millisecond)
	}
	if wait > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func behind(service *app.App) int64 {
	var n int64
	for _, lag := range service.Lag() {
		n += lag
	}
	return n
}

// announce tells of faults that begin or end in the hour up to at.
func (d *demo) announce(at time.Time) {
	for _, f := range d.faults {
		switch {
		case at.Add(-time.Hour).Equal(f.From):
			d.say(fmt.Sprintf("PUT IN   %s: %s", f.Name, f.Says))
		case at.Add(-time.Hour).Equal(f.To):
			d.say(fmt.Sprintf("REPAIRED %s", f.Name))
		}
	}
}

// drain waits until everything is read, and for a while nothing more is judged
// or said.
func (d *demo) drain(ctx context.Context, service *app.App) error {
	judged, since := service.Judged(), time.Now()
	for ctx.Err() == nil {
		if n := service.Judged(); n != judged {
			judged, since = n, time.Now()
		}
		if behind(service) == 0 && d.alerts.quiet() > 8*time.Second && time.Since(since) > 8*time.Second {
			return errOver
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return ctx.Err()
}

// subscribe waits for the streams, which the service makes.
func (d *demo) subscribe(ctx context.Context, url string) (*listener, error) {
	began := time.Now()
	for {
		l, err := listen(ctx, url, d.faults, d.began, d.say)
		if err == nil || ctx.Err() != nil || time.Since(began) > patience {
			return l, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *demo) placePath() string { return filepath.Join(d.o.Dir, "stream.json") }

func (d *demo) resume() (time.Time, error) {
	body, err := os.ReadFile(d.placePath())
	if errors.Is(err, os.ErrNotExist) {
		return d.start, nil
	}
	var p place
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		return d.start, fmt.Errorf("finding where the stream stands: %w; begin anew with --fresh", err)
	}
	d.say("going on from " + p.Until.Format("2 Jan 2006 15:04"))
	return p.Until, nil
}

func (d *demo) keep(at time.Time) error {
	body, err := json.Marshal(place{at})
	if err == nil {
		err = os.WriteFile(d.placePath(), body, 0o644)
	}
	if err != nil {
		return fmt.Errorf("noting where the stream stands: %w", err)
	}
	return nil
}

// finish completes the report.
func (d *demo) finish() {
	r := d.report
	r.Injected, r.Events = d.faults, d.events
	if r.Injected == nil {
		r.Injected = []injected{}
	}
	if d.took > 0 {
		r.EventsPerSecond = float64(d.events) / d.took.Seconds()
	}
	r.Found, r.FalseAlerts = []string{}, []string{}
	if d.alerts != nil {
		d.alerts.mu.Lock()
		defer d.alerts.mu.Unlock()
		r.RetrainRequests = len(d.alerts.requests)
		r.Alerts = len(d.alerts.firing)
		found := map[string]bool{}
		for _, a := range d.alerts.firing {
			if a.fault == "" {
				r.FalseAlerts = append(r.FalseAlerts, a.Title)
				continue
			}
			if r.FirstTrueAlert == nil {
				s := a.after.Seconds()
				r.FirstTrueAlert = &s
			}
			found[a.fault] = true
		}
		for _, f := range d.faults {
			if found[f.Name] {
				r.Found = append(r.Found, f.Name)
			}
		}
	}
	r.False = len(r.FalseAlerts)
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		r.PeakRSSMB = float64(usage.Maxrss) / 1024
	}
	first := "no true alert"
	if r.FirstTrueAlert != nil {
		first = fmt.Sprintf("first true alert after %.0f s", *r.FirstTrueAlert)
	}
	d.say(fmt.Sprintf("%s; found %d of %d faults (%s); %d false alerts; %d retrain requests; %d events at %.0f/s; %.0f MB",
		first, len(r.Found), len(d.faults), strings.Join(r.Found, ", "), r.False, r.RetrainRequests, r.Events, r.EventsPerSecond, r.PeakRSSMB))
}
