package ingest

import (
	"maps"
	"sync"
)

// Counts counts by a name from a closed set. The zero value is ready.
type Counts struct {
	mu sync.Mutex
	n  map[string]int64
}

// Add adds n to name.
func (c *Counts) Add(name string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name] += n
}

// All returns a copy of the counts.
func (c *Counts) All() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
