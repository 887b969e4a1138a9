package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	// Zones must not depend on what is installed where the program runs.
	_ "time/tzdata"

	"github.com/modelwatch/modelwatch/schemas"
)

//go:embed templates
var templates embed.FS

// zoneCookie keeps the reader's time zone.
const zoneCookie = "tz"

// parsePages returns each page's template in the common frame, by name.
func parsePages() (map[string]*template.Template, error) {
	frame, err := template.New("frame.html").Funcs(template.FuncMap{
		"words":       words,
		"incidentURL": incidentURL,
		"last":        func(i, n int) bool { return i == n-1 },
	}).ParseFS(templates, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("reading templates: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range []string{"overview", "incidents", "incident", "trouble"} {
		page, err := frame.Clone()
		if err != nil {
			return nil, fmt.Errorf("reading templates: %w", err)
		}
		if pages[name], err = page.ParseFS(templates, "templates/"+name+".html"); err != nil {
			return nil, fmt.Errorf("reading templates: %w", err)
		}
	}
	return pages, nil
}

// incidentURL is the address of an incident's page.
func incidentURL(id string) string { return "/incidents/" + url.PathEscape(id) }

// frame is what every page has around its content.
type frame struct {
	Title    string
	Here     string // address of the navigation's entry
	Sheet    string
	AsOf     string
	Zone     string
	Path     string
	Keep     []pair // parameters that a change of the zone keeps
	Version  string
	Tally    *tally
	Progress string
	Content  any
}

type pair struct{ Name, Value string }

// trouble is the content of a page that could not be shown.
type trouble struct {
	What, Hint string
	Near       []schemas.Incident // what may have been meant
}

// view is what a page has found out, to be shown in the frame.
type view struct {
	template string
	title    string
	here     string
	content  any
	tally    *tally
	progress string
}

// refusal is an error whose words are meant for the reader.
type refusal struct {
	status int
	trouble
}

// Error implements error.
func (r *refusal) Error() string { return r.What }

// reader is who asks, and when.
type reader struct {
	now  time.Time
	zone *time.Location
}

func (r reader) at(t time.Time) moment { return at(t, r.now, r.zone) }

// page answers with what make returns: the page, or the trouble it met.
func (s *Server) page(make func(ctx context.Context, r *http.Request, who reader) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTime)
		defer cancel()
		who, err := s.reader(w, r)
		var v view
		if err == nil {
			v, err = make(ctx, r, who)
		}
		if err != nil {
			s.troubled(w, r, err)
			return
		}
		f := s.frame(r, v.title)
		f.Here, f.Tally, f.Progress = v.here, v.tally, v.progress
		s.show(w, f, http.StatusOK, v.template, v.content)
	}
}

// troubled answers with an error: its own words where it is a refusal, else
// that the store is away.
func (s *Server) troubled(w http.ResponseWriter, r *http.Request, err error) {
	var no *refusal
	if errors.As(err, &no) {
		s.show(w, s.frame(r, no.What), no.status, "trouble", no.trouble)
		return
	}
	s.log.Warn().Err(err).Str("path", r.URL.Path).Msg("reading for a page")
	w.Header().Set("Retry-After", "5")
	s.show(w, s.frame(r, "store unreachable"), http.StatusServiceUnavailable, "trouble", trouble{
		What: "The store does not answer, so nothing is known right now.",
		Hint: "This says nothing of the models. Load the page again; /readyz and the log tell what is missing.",
	})
}

// reader returns the zone of the reader: of ?tz=, which is kept in a cookie,
// else of the cookie, else UTC.
func (s *Server) reader(w http.ResponseWriter, r *http.Request) (reader, error) {
	who := reader{now: s.deps.Now(), zone: time.UTC}
	if name := r.URL.Query().Get("tz"); name != "" {
		zone, ok := zoneOf(name)
		if !ok {
			return who, &refusal{http.StatusBadRequest, trouble{
				What: "There is no time zone of this name.",
				Hint: "Use a name of the IANA database, such as UTC, Europe/Berlin or America/Chicago.",
			}}
		}
		who.zone = zone
		http.SetCookie(w, &http.Cookie{
			Name: zoneCookie, Value: url.QueryEscape(name), Path: "/", MaxAge: 365 * 24 * 60 * 60,
			HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
		})
		return who, nil
	}
	who.zone = s.keptZone(r)
	return who, nil
}

func (s *Server) keptZone(r *http.Request) *time.Location {
	cookie, err := r.Cookie(zoneCookie)
	if err != nil {
		return time.UTC
	}
	name, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return time.UTC
	}
	if zone, ok := zoneOf(name); ok {
		return zone
	}
	return time.UTC
}

// zoneOf returns a zone of the IANA database. "Local" is none: it is the
// server's, of which the reader knows nothing.
func zoneOf(name string) (*time.Location, bool) {
	if name == "Local" || len(name) > 64 {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

func (s *Server) frame(r *http.Request, title string) frame {
	zone := s.keptZone(r)
	if given, ok := zoneOf(r.URL.Query().Get("tz")); ok && r.URL.Query().Has("tz") {
		zone = given
	}
	f := frame{
		Title: title, Sheet: s.sheetPath, Path: r.URL.Path, Zone: zone.String(), Version: s.deps.Version,
		AsOf: s.deps.Now().In(zone).Format("15:04:05 MST, Mon 2 Jan 2006"),
	}
	query := r.URL.Query()
	for name, values := range query {
		if name != "tz" {
			f.Keep = append(f.Keep, pair{name, values[0]})
		}
	}
	slices.SortFunc(f.Keep, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// show writes a page as a whole or, where its template fails, none of it.
func (s *Server) show(w http.ResponseWriter, f frame, status int, name string, content any) {
	f.Content = content
	var body bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&body, "frame.html", f); err != nil {
		s.log.Error().Err(err).Str("page", name).Msg("writing a page")
		http.Error(w, "The page could not be written; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// Templates make text safe for browsers; this makes it so for terminals and eyes.
	_, _ = w.Write(schemas.InertText(body.Bytes())) // the reader has gone, which is his right
}
