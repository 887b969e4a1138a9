// Package web answers over HTTP: two pages for people (all models, worst
// first; one incident) with the list that leads from one to the other, the
// JSON API under /api/v1, /metrics, /healthz and /readyz.
//
// It guarantees
//
//   - that nothing but /healthz, /readyz and the style sheet is told to whoever
//     has neither the token nor a client certificate, and that the server does
//     not listen beyond this machine before one of the two is configured;
//   - that every page works without script and asks nothing of another origin;
//   - that a model, window or value that was not judged or not measured is shown
//     as such, never as healthy and never as zero;
//   - that a request reads a bounded number of rows, and that a store that is
//     away gives an answer in the frame of the page with status 503.
//
// It only reads. What is shown comes from the Store as it is; the state of a
// model, the choice of a chart and all wording are pure functions of it, the
// reader's time zone and the clock handed in.
package web
