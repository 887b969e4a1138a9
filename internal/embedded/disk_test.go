package embedded

import (
	"math"
	"strings"
	"testing"
)

func TestRoomFor(t *testing.T) {
	dir := t.TempDir()
	if err := roomFor(dir, 1); err != nil {
		t.Fatal(err)
	}
	err := roomFor(dir, math.MaxInt64)
	if err == nil || !strings.Contains(err.Error(), "MB of disk free") || !strings.Contains(err.Error(), "make room") {
		t.Errorf("got %v, want what is free and the next step", err)
	}
}
