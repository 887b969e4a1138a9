package bench_test

import (
	"os"
	"testing"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// TestMain also fails if a goroutine is left.
func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
