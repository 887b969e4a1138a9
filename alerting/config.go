package alerting

import (
	"errors"
	"fmt"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Config says how patient incidents are. It is recorded with every step.
type Config struct {
	Window     time.Duration `json:"window"`      // length of the model's windows
	Parts      schemas.Part  `json:"parts"`       // the parts the model delivers
	Clear      int           `json:"clear"`       // consecutive ok windows that resolve
	Hold       int           `json:"hold"`        // unknown windows after which it is said
	Join       int           `json:"join"`        // windows within which faults begin together; at most Clear
	MaxUpdates int           `json:"max_updates"` // `updated` messages of one incident
	MaxOpen    int           `json:"max_open"`    // open incidents of one model
	PublicURL  string        `json:"public_url"`  // where the pages are, "" for no links
	Runbook    string        `json:"runbook"`     // page that tells what to do, "" for none
}

// DefaultConfig returns the settings for a model with windows of that length and those parts.
func DefaultConfig(window time.Duration, parts schemas.Part) Config {
	return Config{Window: window, Parts: parts, Clear: 2, Hold: 3, Join: 2, MaxUpdates: 10, MaxOpen: 500}
}

// Validate says everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	if c.Window < time.Millisecond {
		errs = append(errs, fmt.Errorf("window is %s; it must be at least 1ms", c.Window))
	}
	if c.Clear < 1 {
		errs = append(errs, fmt.Errorf("clear is %d; it must be at least 1", c.Clear))
	}
	if c.Hold < 1 {
		errs = append(errs, fmt.Errorf("hold is %d; it must be at least 1", c.Hold))
	}
	if c.Join < 0 || c.Join > c.Clear {
		errs = append(errs, fmt.Errorf("join is %d; it must be from 0 to clear (%d), or an incident could end before its cause is known", c.Join, c.Clear))
	}
	if c.MaxUpdates < 0 {
		errs = append(errs, fmt.Errorf("max_updates is %d; it must not be negative", c.MaxUpdates))
	}
	if c.MaxOpen < 1 {
		errs = append(errs, fmt.Errorf("max_open is %d; it must be at least 1", c.MaxOpen))
	}
	return errors.Join(errs...)
}

// Caps that bound the state whatever the findings are.
const (
	maxAhead    = 64 // bad windows of a track past the last closed one
	maxRecent   = 64 // resolved incidents kept for late words about them
	maxWaiting  = 64 // prediction windows that wait for the features' ones
	maxEvidence = 8  // of one sighting
	maxKept     = 1  // of one member of a resolved incident
	maxSlices   = 64 // of one sighting; over it, the whole
	maxText     = 256
)
